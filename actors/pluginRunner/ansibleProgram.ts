import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { ANSIBLE_MIN_VERSION } from '../../protocol/defaults/pluginRunner.ts'
import { usable } from '../findProgram.ts'
import { shipped } from '../homePaths.ts'

/** The file names in the private folder of one run, which `makeRunFolder` creates. */
export const runFiles = {
  /** The copy of the plugin. */
  plugin: 'plugin',
  playbook: 'plugin/site.yml',
  inventory: 'hosts.json',
  vars: 'vars.json',
  sshConfig: 'ssh_config',
  knownHosts: 'known_hosts',
  /** The control sockets of ssh. The name is short because the path of a Unix socket may have 108 bytes. */
  control: 'c',
  temp: 'tmp',
  /** Passed by name, so that no `ansible.cfg` of the plugin, the user or the system is read. */
  config: 'ansible.cfg',
} as const

/**
 * Returns the environment of `ansible-playbook`. It sets everything that matters, so that the user's files have no
 * effect.
 */
export async function ansibleEnvironment(
  { folder, program, stock }: { folder: string; program: string; stock: boolean },
  env: NodeJS.ProcessEnv,
): Promise<NodeJS.ProcessEnv> {
  const inherited = Object.entries(env).filter(([key]) => !/^(ANSIBLE_|MITOGEN_)/.test(key))
  const strategy = stock ? undefined : await fastStrategy(program)
  return {
    ...Object.fromEntries(inherited),
    // Ansible refuses to start in a locale that is not UTF-8.
    LC_ALL: 'C.UTF-8',
    P2PRC_EVENTS_FD: '3',
    P2PRC_ANSIBLE_MIN_VERSION: ANSIBLE_MIN_VERSION,
    ANSIBLE_CONFIG: join(folder, runFiles.config),
    ANSIBLE_LOCAL_TEMP: join(folder, runFiles.temp),
    ANSIBLE_CALLBACK_PLUGINS: await callbackFolder(),
    ANSIBLE_STDOUT_CALLBACK: 'p2prc_events',
    ANSIBLE_INVENTORY_ENABLED: 'yaml',
    // No variable files are read beside the inventory, which this node writes: searching for them takes a third of the
    // time that variables take.
    ANSIBLE_PRECEDENCE: 'all_inventory,groups_inventory,all_plugins_play,groups_plugins_play',
    // Paramiko is never used: it reads no ssh configuration and therefore ignores the pinned host keys.
    ANSIBLE_TRANSPORT: 'ssh',
    ANSIBLE_HOST_KEY_CHECKING: 'True',
    ANSIBLE_PIPELINING: 'True',
    ANSIBLE_SSH_ARGS: `-F "${join(folder, runFiles.sshConfig)}" -o ControlMaster=auto -o ControlPersist=60s`,
    ANSIBLE_SSH_CONTROL_PATH_DIR: join(folder, runFiles.control),
    ANSIBLE_RETRY_FILES_ENABLED: 'False',
    ANSIBLE_NOCOLOR: 'True',
    ANSIBLE_NOCOWS: 'True',
    ...(strategy && { ANSIBLE_STRATEGY: strategy }),
  }
}

const MITOGEN = '/usr/lib/python3/dist-packages/ansible/plugins/strategy/mitogen_linear.py'

/** Returns Mitogen's strategy if Debian's `ansible-mitogen` belongs to this Ansible, or else undefined. */
async function fastStrategy(program: string): Promise<string | undefined> {
  const file = await open(program)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64), 0, 64, 0)
    const debians = /^#! ?\/usr\/bin\/python3\s/.test(buffer.toString('latin1', 0, bytesRead))
    return debians && (await usable(MITOGEN, constants.R_OK)) ? 'mitogen_linear' : undefined
  } finally {
    await file.close()
  }
}

/** Returns the callback's folder: the one in the source tree, or the one beside an installed bundle. */
async function callbackFolder(): Promise<string> {
  for (const folder of ['actors/ansible', 'dist/ansible']) {
    const path = join(shipped.root, folder)
    if (await usable(join(path, 'p2prc_events.py'), constants.R_OK)) return path
  }
  throw new Error(`actors/ansible/p2prc_events.py is missing in ${shipped.root}`)
}
