import { homeTransport } from '../cli/homeTransport.ts'
import { connect } from '../client/client.ts'
import type { Machine } from '../test/support/namespaces.ts'
import { iperf, makeLink } from '../test/support/shapedLink.ts'
import { type Bench, type Figure, figure, median } from './measure.ts'

const ROUNDS = 3

/** Runs one speed test as the owner of `from`, and measures the wall-clock time of each direction. */
export async function speedTest(from: Machine, to: Machine): Promise<Record<'download' | 'upload', Measured>> {
  process.env.P2PRC = from.home
  const client = connect({ transport: homeTransport() })
  const measured = { download: { mbps: 0, ms: 0 }, upload: { mbps: 0, ms: 0 } }
  for (const direction of ['download', 'upload'] as const) {
    let startedAt = performance.now()
    const request = client.request({ type: 'speed.measure', where: `${to.address}:8088`, direction })
    for await (const fact of request) {
      // The round trips are over: what follows is the direction's own time.
      if (fact.type === 'speed.progress' && fact.step === 'latency') startedAt = performance.now()
    }
    const fact = await request.answer
    measured[direction] = { mbps: Number(fact[direction]), ms: performance.now() - startedAt }
  }
  return measured
}

interface Measured {
  mbps: number
  ms: number
}

/**
 * Compares the speed test with iperf3 over the same link between two network namespaces, whose rate a token bucket limits.
 * Needs root and iperf3.
 */
export const bench: Bench = async () => {
  const link = makeLink()
  const figures: Figure[] = []
  try {
    const [here, there] = link.machines as [Machine, Machine]
    await Promise.all([here.startNode(), there.startNode()])
    const { key } = await here.p2prc<{ key: string }>('id')
    await there.p2prc('trust', 'add', key)
    for (const mbit of [10, 50, 200]) {
      link.limit(mbit)
      const ours = { download: [] as Measured[], upload: [] as Measured[] }
      const theirs = { download: [] as number[], upload: [] as number[] }
      for (let round = 0; round < ROUNDS; round += 1) {
        const { download, upload } = await speedTest(here, there)
        ours.download.push(download)
        ours.upload.push(upload)
        theirs.download.push(await iperf(here, there, 4))
        theirs.upload.push(await iperf(there, here, 4))
      }
      for (const direction of ['download', 'upload'] as const) {
        const mbps = median(ours[direction].map((one) => one.mbps))
        const what = `${direction}, limit ${mbit} Mbit/s`
        const pair = {
          what,
          baseline: 'iperf3',
          unit: 'Mbit/s',
          goal: { sign: '≤', ratio: 1.05 },
          rounds: ROUNDS,
        } as const
        const rates = figure(pair, mbps, median(theirs[direction]))
        // A rate above the baseline is as wrong as one below it.
        figures.push({ ...rates, ratio: Math.max(rates.ratio, 1 / rates.ratio) })
        const longest = Math.max(...ours[direction].map(({ ms }) => ms))
        const time = { what: `${what}: longest test`, baseline: '3 s', unit: 'ms', rounds: ROUNDS } as const
        figures.push(figure({ ...time, goal: { sign: '≤', ratio: 1 } }, longest, 3_000))
      }
    }
  } finally {
    await link.close()
  }
  return figures
}
