import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import type { Machine } from '../test/support/namespaces.ts'
import { makeLink } from '../test/support/shapedLink.ts'
import { bundled } from './bundled.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'

/** All idle for this long before their processor time is counted. */
const QUIET_MS = 60_000

const COUNTED_MS = 120_000

/** The clock ticks of `/proc/PID/stat` in a second: 100 on every Linux. */
const TICKS_PER_SECOND = 100

/** Nodes in one process beside the one that is measured. They are not counted themselves. */
const NEIGHBOURS = 199

/** Measures the processor time of idle nodes on one LAN, each in a network namespace of its own. Needs root. */
export const bench: Bench = async () => [await amongProcesses(3, 0.3), await amongProcesses(30, 0.5), await amongMany()]

/** Measures each of several processes, and takes their median. */
async function amongProcesses(nodes: number, goal: number): Promise<Figure> {
  const link = makeLink(nodes)
  try {
    const pids: number[] = []
    for (const [index, machine] of link.machines.entries()) {
      const seed = link.machines[Math.floor((index - 1) / 2)]
      const child = await machine.startNode(...(seed ? [`${seed.address}:8088`] : []))
      pids.push(child.pid as number)
    }
    return idleFigure(nodes - 1, goal, median(await shares(pids)))
  } finally {
    await link.close()
  }
}

/** Measures one process whose neighbours share another. */
async function amongMany(): Promise<Figure> {
  const link = makeLink(2)
  try {
    const [machine, host] = link.machines as [Machine, Machine]
    const hosts = Array.from({ length: NEIGHBOURS }, (_, index) => `10.78.0.${10 + index}`)
    for (const address of hosts) await host.run('ip', 'address', 'add', `${address}/24`, 'dev', 'lan')
    await host.start(process.execPath, [await bundled('neighbours'), ...hosts], /all listen/)
    const child = await machine.startNode(`${hosts[0]}:8088`)
    const [share = Number.NaN] = await shares([child.pid as number])
    const { ip_address: peers } = await machine.p2prc<{ ip_address: unknown[] }>('ls')
    if (peers.length !== NEIGHBOURS) throw new Error(`The node lists ${peers.length} of ${NEIGHBOURS} neighbours`)
    return idleFigure(NEIGHBOURS, 0.5, share)
  } finally {
    await link.close()
  }
}

/** Waits, and then counts the processor time of each process as a share of a core. */
async function shares(pids: readonly number[]): Promise<number[]> {
  await wait(QUIET_MS)
  const before = pids.map(processorSeconds)
  await wait(COUNTED_MS)
  return pids.map((pid, at) => (processorSeconds(pid) - (before[at] as number)) / (COUNTED_MS / 1_000))
}

function idleFigure(neighbours: number, goal: number, share: number): Figure {
  const what = `processor of an idle node with ${neighbours} others on its LAN`
  const pair = { what, baseline: `${goal} % of a core`, unit: '%', goal: { sign: '≤', ratio: 1 }, rounds: 1 } as const
  return figure(pair, share * 100, goal)
}

/** Returns the processor time of a process so far (`utime` and `stime`), in seconds. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}
