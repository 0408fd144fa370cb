import { parseArgs } from 'node:util'
import { runChaos } from '../simulation/chaos.ts'
import { createSimulation } from '../simulation/simulation.ts'

/**
 * `npm run simulate -- --nodes 1000 --loss 0.05 --seed 7 [--minutes 2] [--delay 40] [--nat 70] [--faults] [--json]` runs the gossip
 * of real nodes on an in-memory network and prints what happened. With `--faults`, nodes crash, pause, leave and are
 * partitioned until 90 s before the end. With `--nat 70`, 70 % of the nodes are
 * behind routers, where nobody can dial them. The run is deterministic: the same arguments give the same trace. The exit code is
 * 1 if the nodes disagree at the end.
 */

const { values } = parseArgs({
  options: {
    nodes: { type: 'string', default: '100' },
    loss: { type: 'string', default: '0' },
    nat: { type: 'string', default: '0' },
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
const nat = number('nat', 0, 99) / 100
const seed = number('seed', 0, 0xffff_ffff)
const minutes = number('minutes', values.faults ? 3 : 0.1, 1_440, values.faults ? 10 : 2)

const startedAt = performance.now()
const agrees = values.faults ? simulateFaults() : simulate()
process.exitCode = agrees ? 0 : 1

function simulateFaults(): boolean {
  const result = runChaos({ seed, nodes, minutes, log: (line) => values.json || console.log(line) })
  const { agreedAfterMs, falsePositives, violations, faults, trace } = result
  if (values.json) console.log(JSON.stringify(result))
  else {
    for (const violation of violations) console.log(`VIOLATION at ${violation}`)
    const injected = Object.entries(faults).map(([name, count]) => `${name} ${count}`)
    console.log(`\n${nodes} nodes, ${minutes} virtual minutes, seed ${seed}; faults: ${injected.sort().join(', ')}`)
    const agreement =
      agreedAfterMs === undefined ? 'never agreed' : `agreed ${agreedAfterMs / 1_000} s after the faults ended`
    console.log(`The nodes ${agreement}; false positives: ${falsePositives}; trace ${trace}; ${elapsed()}`)
  }
  return violations.length === 0
}

function simulate(): boolean {
  const counts = new Map<string, number>()
  const simulation = createSimulation({
    nodes,
    seed,
    nat,
    networkConditions: { loss, delay: [delay / 8, delay] },
    onFact: ({ type }) => counts.set(type, (counts.get(type) ?? 0) + 1),
  })
  for (let host = 0; host < nodes; host += 1) simulation.at(Math.min(host * 10, 10_000), () => simulation.start(host))
  if (!values.json) {
    console.log(
      `${count(nodes)} nodes, ${percent(loss)} message loss, one-way delay ${delay / 8} to ${delay} ms, ${percent(nat)} behind NAT, seed ${seed}`,
    )
    console.log('The nodes start within the first 10 s. Each of them knows one address.\n')
    row('time', 'running', 'members', 'links', 'sent', '')
    row('', 'nodes', 'per node', 'per node', 'per node', '')
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
    const note = agreedAt === time ? 'all agree' : ''
    const line = { seconds: time / 1_000, running: running.length, known: round(known), links: round(links) }
    if (values.json) console.log(JSON.stringify({ ...line, bytesPerSecond: rate, agree: agreedAt !== undefined }))
    else
      row(`${line.seconds} s`, count(running.length), count(line.known), count(line.links), `${count(rate)} B/s`, note)
  }
  if (values.json) return agreedAt !== undefined
  const { trace, network } = simulation
  console.log('\nFacts that the nodes emitted:')
  for (const [type, times] of [...counts].sort()) console.log(`${count(times).padStart(12)}  ${type}`)
  console.log('\nMessages that they sent:')
  for (const [kind, sent] of [...network.byKind].sort())
    console.log(`${count(sent.count).padStart(12)}  ${kind}, ${count(Math.round(sent.bytes / sent.count))} B each`)
  const agreement =
    agreedAt === undefined
      ? `The nodes disagree: ${simulation.disagreement()}`
      : `All nodes agree since ${agreedAt / 1_000} s`
  console.log(`\n${agreement}; largest message ${count(network.largest)} B; trace ${trace}; ${elapsed()}`)
  return agreedAt !== undefined

  function total(): number {
    return simulation.network.bytes.reduce((sum, bytes) => sum + bytes, 0)
  }
}

function row(
  ...cells: [time: string, running: string, members: string, links: string, sent: string, note: string]
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

function number(
  name: 'nodes' | 'loss' | 'nat' | 'delay' | 'seed' | 'minutes',
  min: number,
  max: number,
  fallback = 0,
): number {
  const text = values[name]
  const value = text === undefined ? fallback : Number(text)
  if (text?.trim() !== '' && value >= min && value <= max) return value
  console.error(`--${name} must be a number from ${min} to ${max}, not "${text}"`)
  process.exit(2)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function elapsed(): string {
  return `${((performance.now() - startedAt) / 1_000).toFixed(1)} s of real time`
}
