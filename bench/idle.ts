import { readFileSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { makeLink } from '../test/support/shapedLink.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'

/** All idle for this long before their processor time is counted. */
const QUIET_MS = 60_000

const COUNTED_MS = 120_000

/** The clock ticks of `/proc/PID/stat` in a second: 100 on every Linux. */
const TICKS_PER_SECOND = 100

/** Measures the processor time of idle nodes on one LAN, each in a network namespace of its own. Needs root. */
export const bench: Bench = async () => [await idle(3, 0.3), await idle(30, 0.5)]

async function idle(nodes: number, goal: number): Promise<Figure> {
  const link = makeLink(nodes)
  try {
    const pids: number[] = []
    for (const [index, machine] of link.machines.entries()) {
      const seed = link.machines[Math.floor((index - 1) / 2)]
      const child = await machine.startNode(...(seed ? [`${seed.address}:8088`] : []))
      pids.push(child.pid as number)
    }
    await wait(QUIET_MS)
    const before = pids.map(processorSeconds)
    await wait(COUNTED_MS)
    const shares = pids.map((pid, at) => (processorSeconds(pid) - (before[at] as number)) / (COUNTED_MS / 1_000))
    const what = `processor of an idle node with ${nodes - 1} others on its LAN`
    const pair = {
      what,
      baseline: `${goal} % of a core`,
      unit: '%',
      goal: { sign: '≤', ratio: 1 },
      rounds: nodes,
    } as const
    return figure(pair, median(shares) * 100, goal)
  } finally {
    await link.close()
  }
}

/** Returns the processor time of a process so far (`utime` and `stime`), in seconds. */
function processorSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}
