import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Loan } from '../protocol/groupTracker.ts'
import { knownHostsText } from '../protocol/ssh.ts'
import { startContainers } from '../test/support/pluginContainers.ts'
import { pluginFixture } from '../test/support/pluginFixture.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'
import { scratch } from './processes.ts'

const CONTAINERS = 8
const TASKS = 20
const ROUNDS = 3

const playbook = `- hosts: all
  gather_facts: false
  tasks:
${Array.from({ length: TASKS }, (_, number) => `    - name: task ${number}\n      command: "true"\n`).join('')}`

/** Compares a plugin run with `ansible-playbook` under usual configurations, over the same containers with the same keys. */
export const bench: Bench = async () => {
  const home = scratch('ansible')
  const containers = await startContainers(CONTAINERS)
  const at = pluginFixture(containers.loans, { files: containers.files })
  try {
    at.plugin('bench', playbook)
    writeFileSync(join(home, 'known_hosts'), knownHostsText(containers.loans))
    writeFileSync(join(home, 'site.yml'), playbook)
    const inventories = new Map(
      [containers.loans, ...containers.loans.map((loan) => [loan])].map((loans, number) => {
        const path = join(home, `hosts-${number}.json`)
        writeFileSync(path, JSON.stringify(inventory(loans, containers.files.key, join(home, 'known_hosts'))))
        return [loans.length === 1 ? String(loans[0]?.ID) : 'all', path] as const
      }),
    )
    const stock = (id: string, args: string[] = [], env: NodeJS.ProcessEnv = {}) =>
      ansible(home, ['-i', inventories.get(id) as string, ...args, join(home, 'site.yml')], env)
    const sides = {
      mitogen: () => ours(at, false),
      plain: () => ours(at, true),
      usual: () => stock('all'),
      tuned: () =>
        stock('all', ['--forks', String(CONTAINERS)], {
          ANSIBLE_PIPELINING: 'True',
          ANSIBLE_SSH_ARGS: '-o ControlMaster=auto -o ControlPersist=60s',
        }),
      serial: async () => {
        for (const { ID } of containers.loans) await stock(ID)
      },
    }
    const times = Object.fromEntries(Object.keys(sides).map((side) => [side, [] as number[]]))
    const names = Object.keys(sides) as (keyof typeof sides)[]
    // Warms the caches with one container, because a whole run of each side would make the bench half as long again.
    await stock(containers.loans[0]?.ID ?? '')
    await ours(at, false)
    for (let round = 0; round < ROUNDS; round += 1) {
      for (const side of round % 2 === 0 ? names : [...names].reverse()) {
        const began = performance.now()
        await sides[side]()
        times[side]?.push((performance.now() - began) / 1_000)
      }
    }
    const one = (side: 'mitogen' | 'plain', against: 'usual' | 'tuned' | 'serial', goal: number): Figure =>
      figure(
        {
          what: `${TASKS} tasks over ${CONTAINERS} containers${side === 'mitogen' ? ', with Mitogen' : ', without Mitogen'}`,
          baseline: baselines[against],
          unit: 's',
          goal: { sign: '≤', ratio: goal },
          rounds: ROUNDS,
        },
        median(times[side] ?? []),
        median(times[against] ?? []),
      )
    return [
      one('mitogen', 'usual', 0.45),
      one('plain', 'usual', 0.75),
      one('mitogen', 'tuned', 0.65),
      one('plain', 'tuned', 1.05),
      one('mitogen', 'serial', 0.22),
      one('plain', 'serial', 0.38),
    ]
  } finally {
    await at.stop()
    await containers.remove()
  }
}

const baselines = {
  usual: '`ansible-playbook`, default configuration',
  tuned: `\`ansible-playbook --forks ${CONTAINERS}\`, pipelining, ControlPersist`,
  serial: 'one `ansible-playbook` for each container in turn',
}

async function ours(at: ReturnType<typeof pluginFixture>, stock: boolean): Promise<void> {
  const { failure } = await at.run('bench', 'grp', { stock })
  if (failure) throw failure
}

function inventory(loans: readonly Loan[], key: string, knownHosts: string): object {
  const hosts = loans.map(({ ID, Container }) => [
    ID.slice(0, 12),
    {
      ansible_host: '127.0.0.1',
      ansible_port: Container.Ports.Port[0]?.ExternalPort,
      ansible_user: 'root',
      ansible_ssh_private_key_file: key,
      ansible_ssh_common_args: `-o UserKnownHostsFile=${knownHosts}`,
      ansible_python_interpreter: '/usr/bin/python3',
    },
  ])
  return { all: { hosts: Object.fromEntries(hosts) } }
}

/** Runs `ansible-playbook` with a new folder for ControlPersist's sockets, so that it reuses no connection of an earlier run. */
async function ansible(home: string, args: string[], env: NodeJS.ProcessEnv): Promise<void> {
  const sockets = join(home, Math.random().toString(36).slice(2, 8))
  mkdirSync(sockets)
  const child = spawn('ansible-playbook', args, {
    cwd: home,
    env: { ...process.env, LC_ALL: 'C.UTF-8', ANSIBLE_SSH_CONTROL_PATH_DIR: sockets, ...env },
    stdio: 'ignore',
  })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`ansible-playbook exited with ${code}`)
}
