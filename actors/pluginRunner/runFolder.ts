import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SSH_CONNECT_TIMEOUT_S } from '../../protocol/defaults/groupTracker.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { knownHostsText } from '../../protocol/ssh.ts'
import { isAlive, startOf } from '../home/lockHolder.ts'
import { type InventoryMember, runInventory } from '../ssh/inventory.ts'
import { sshOptions } from '../ssh/sshConfig.ts'
import { runFiles } from './ansibleProgram.ts'
import { assertNumbers, toPlaybook } from './playbook.ts'
import { listFiles } from './pluginFiles.ts'

export interface RunFolder {
  /** The plugin's name. */
  name: string
  source: string
  ports: number
  members: readonly (InventoryMember & { loan: Loan })[]
  vars: Record<string, string>
}

/**
 * Creates a private folder with everything that a run needs, and resolves with its path. Outside values go in as data,
 * never as template text. Rejects with `plugin_bad` or `bad_request`; the folder is then removed.
 */
export async function makeRunFolder(run: RunFolder): Promise<string> {
  for (const [key, value] of Object.entries(run.vars)) assertNoTemplate(key, value)
  await removeLeftoverFolders()
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-${startOf(process.pid)}-`))
  try {
    await writeRunFiles(folder, run)
    return folder
  } catch (error) {
    await rm(folder, { recursive: true, force: true })
    throw error
  }
}

/** The name of a run's folder goes on with the pid and the start time of its process. */
const PREFIX = 'p2prc-run-'

/** Removes the folders of processes that were killed during a run. */
export async function removeLeftoverFolders(): Promise<void> {
  const names = await readdir(tmpdir()).catch(() => [])
  for (const name of names) {
    const [, pid, started = ''] = name.startsWith(PREFIX) ? (/^(\d+)-(\w*)-/.exec(name.slice(PREFIX.length)) ?? []) : []
    // A folder of another user cannot be removed, and is theirs to remove.
    if (pid !== undefined && !isAlive({ pid: Number(pid), started }))
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {})
  }
}

async function writeRunFiles(folder: string, { name, source, ports, members, vars }: RunFolder): Promise<void> {
  const at = (file: string) => join(folder, file)
  try {
    listFiles(source)
  } catch (error) {
    throw new AppError('plugin_bad', { name, why: error instanceof Error ? error.message : String(error) })
  }
  await cp(source, at(runFiles.plugin), { recursive: true, verbatimSymlinks: true })
  const text = await readFile(at(runFiles.playbook), 'utf8')
  const playbook = toPlaybook(text, name, ports)
  assertNumbers(playbook, vars)
  const privately = { mode: 0o600 }
  const sshConfig = [
    // Each member's key is in the inventory.
    ...sshOptions(undefined, { file: at(runFiles.knownHosts), options: ['StrictHostKeyChecking=yes'] }),
    'IdentitiesOnly yes',
    'BatchMode yes',
    `ConnectTimeout ${SSH_CONNECT_TIMEOUT_S}`,
    // The connection to a silent member is closed after 15 s.
    'ServerAliveInterval 5',
    'ServerAliveCountMax 3',
  ]
  await Promise.all([
    mkdir(at(runFiles.control), { mode: 0o700 }),
    writeFile(at(runFiles.playbook), playbook),
    writeFile(at(runFiles.inventory), JSON.stringify(runInventory(members)), privately),
    writeFile(at(runFiles.vars), JSON.stringify(vars), privately),
    writeFile(at(runFiles.config), ansibleConfig),
    writeFile(at(runFiles.sshConfig), `Host *\n${sshConfig.map((line) => `  ${line}\n`).join('')}`, privately),
    writeFile(at(runFiles.knownHosts), knownHostsText(members.map(({ loan }) => loan)), privately),
  ])
}

/**
 * Settings that have no environment variable. By default Ansible polls for results 1,000 times a second, which on two
 * cores takes a tenth of one core from the tasks.
 */
const ansibleConfig = `[defaults]
internal_poll_interval = 0.01
`

/**
 * Rejects a value with template syntax: Ansible evaluates `{{ … }}` in any variable, and a lookup can run programs on
 * this machine.
 */
function assertNoTemplate(name: string, value: string): void {
  if (/\{[{%#]/.test(value))
    throw new AppError('bad_request', { why: `The value of ${name} may not contain {{, {% or {#` })
}
