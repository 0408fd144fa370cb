import { parseArgs } from 'node:util'
import { runChaos } from '../simulation/chaos.ts'
import { createSimulation } from '../simulation/simulation.ts'

/**
 * `npm run simulate -- --nodes 1000 --loss 0.05 --seed 7 [--minutes 2] [--delay 40] [--faults] [--json]`: the gossip of
 * real nodes on a network in memory, and what happened. With `--faults` nodes crash, stall, leave and are cut off until
 * the last minute and a half. Same arguments, same run: the trace at the end says so. Exit code 1 where nodes disagree.
 */

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    loss: { type: 'string', default: '0' },
    delay: { type: 'string', default: '40' },
    seed: { type: 'string', default: '1' },
    minutes: { type: 'string' },
    faults: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
})

const nodes = number('nodes', 2, 10_000)
const loss = number('loss', 0, 0.9)
const delay = number('delay', 0, 5_000)
const seed = number('seed', 0, 0xffff_ffff)
const minutes = number('minutes', values.faults ? 3 : 0.1, 1_440, values.faults ? 10 : 2)

const begun = performance.now()
const agrees = values.faults ? underFaults() : calmly()
process.exitCode = agrees ? 0 : 1

function underFaults(): boolean {
  const result = runChaos({ seed, nodes, minutes, log: (line) => values.json || console.log(line) })
  const { agreedAfterMs, falseDeaths, violations, faults, trace } = result
  if (values.json) console.log(JSON.stringify(result))
  else {
    for (const violation of violations) console.log(`BROKEN at ${violation}`)
    const done = Object.entries(faults).map(([name, count]) => `${name} ${count}`)
    console.log(`\n${nodes} nodes, ${minutes} virtual minutes, seed ${seed}; faults: ${done.sort().join(', ')}`)
    const after = agreedAfterMs === undefined ? 'never agreed' : `agreed ${agreedAfterMs / 1_000} s after healing`
    console.log(`They ${after}; ${falseDeaths} declared dead wrongly; trace ${trace}; ${took()}`)
  }
  return violations.length === 0
}

function calmly(): boolean {
  const counts = new Map<string, number>()
  const simulation = createSimulation({
    nodes,
    seed,
    networkConditions: { loss, delay: [delay / 8, delay] },
    onFact: ({ type }) => counts.set(type, (counts.get(type) ?? 0) + 1),
  })
  for (let host = 0; host < nodes; host += 1) simulation.at(Math.min(host * 10, 10_000), () => simulation.start(host))
  if (!values.json) {
    const lost = loss > 0 ? `${percent(loss)} of messages lost` : 'nothing lost'
    console.log(`${count(nodes)} nodes, ${lost}, ${delay / 8} to ${delay} ms one way, seed ${seed}`)
    console.log('They start within the first 10 s; each was told one address.\n')
    row('time', 'running', 'each knows', 'links each', 'each sends', '')
  }
  const everyMs = 5_000
  let agreedAt: number | undefined
  for (let time = everyMs; time <= minutes * 60_000; time += everyMs) {
    const sent = total()
    simulation.runUntil(time)
    const running = simulation.nodes.filter(({ state }) => state)
    const known = mean(running.map(({ state }) => state?.members.size ?? 0))
    const links = mean(running.map(({ state }) => state?.links.size ?? 0))
    if (!simulation.agrees()) agreedAt = undefined
    else agreedAt ??= time
    const rate = Math.round((total() - sent) / running.length / (everyMs / 1_000))
    const news = agreedAt === time ? 'all agree' : ''
    const line = { seconds: time / 1_000, running: running.length, known: round(known), links: round(links) }
    if (values.json) console.log(JSON.stringify({ ...line, bytesPerSecond: rate, agree: agreedAt !== undefined }))
    else
      row(`${line.seconds} s`, count(running.length), count(line.known), count(line.links), `${count(rate)} B/s`, news)
  }
  if (values.json) return agreedAt !== undefined
  const { trace, network } = simulation
  console.log('\nWhat the nodes say happened to them:')
  for (const [type, times] of [...counts].sort()) console.log(`${count(times).padStart(12)}  ${type}`)
  console.log('\nWhat they sent:')
  for (const [kind, sent] of [...network.byKind].sort())
    console.log(`${count(sent.count).padStart(12)}  ${kind}, ${count(Math.round(sent.bytes / sent.count))} B each`)
  const end =
    agreedAt === undefined ? `They disagree: ${simulation.disagreement()}` : `All agree since ${agreedAt / 1_000} s`
  console.log(`\n${end}; largest message ${count(network.largest)} B; trace ${trace}; ${took()}`)
  return agreedAt !== undefined

  function total(): number {
    return simulation.network.bytes.reduce((sum, bytes) => sum + bytes, 0)
  }
}

function row(
  ...cells: [time: string, running: string, known: string, links: string, rate: string, news: string]
): void {
  const widths = [8, 9, 12, 12, 14]
  console.log(
    cells
      .map((cell, at) => cell.padStart(widths[at] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function percent(share: number): string {
  return `${round(share * 100)} %`
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function number(name: 'nodes' | 'loss' | 'delay' | 'seed' | 'minutes', least: number, most: number, usual = 0): number {
  const text = values[name]
  const value = text === undefined ? usual : Number(text)
  if (text?.trim() !== '' && value >= least && value <= most) return value
  console.error(`--${name} must be a number from ${least} to ${most}, not "${text}"`)
  process.exit(2)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function took(): string {
  return `${((performance.now() - begun) / 1_000).toFixed(1)} s of real time`
}
