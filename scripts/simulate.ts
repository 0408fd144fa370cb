import { parseArgs } from 'node:util'
import { runChaos } from '../bench/chaos.ts'
import { createSimulation } from '../bench/simulation.ts'

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
  if (values.json) console.log(JSON.stringify(result))
  else {
    const { agreedAfterMs, falseDeaths, violations, trace } = result
    for (const violation of violations) console.log(`BROKEN at ${violation}`)
    const after = agreedAfterMs === undefined ? 'never agreed' : `agreed ${agreedAfterMs / 1_000} s after healing`
    console.log(`${nodes} nodes ${after}; ${falseDeaths} declared dead wrongly; trace ${trace}; ${took()}`)
  }
  return result.violations.length === 0
}

function calmly(): boolean {
  const counts = new Map<string, number>()
  const simulation = createSimulation({
    nodes,
    seed,
    weather: { loss, delay: [delay / 8, delay] },
    heard: ({ type }) => counts.set(type, (counts.get(type) ?? 0) + 1),
  })
  for (let host = 0; host < nodes; host += 1) simulation.at(Math.min(host * 10, 10_000), () => simulation.start(host))
  const everyMs = 5_000
  let agreedAt: number | undefined
  for (let time = everyMs; time <= minutes * 60_000; time += everyMs) {
    const sent = total()
    simulation.runUntil(time)
    const running = simulation.nodes.filter(({ state }) => state)
    const known = running.reduce((sum, { state }) => sum + (state?.members.size ?? 0), 0) / running.length
    const links = running.reduce((sum, { state }) => sum + (state?.links.size ?? 0), 0) / running.length
    if (!simulation.agrees()) agreedAt = undefined
    else agreedAt ??= time
    const rate = (total() - sent) / running.length / (everyMs / 1_000)
    const line = { seconds: time / 1_000, running: running.length, known: round(known), links: round(links) }
    if (values.json)
      console.log(JSON.stringify({ ...line, bytesPerSecond: Math.round(rate), agree: agreedAt === time }))
    else
      console.log(
        `${String(line.seconds).padStart(5)} s  ${line.running} run, each knows ${line.known}, ` +
          `has ${line.links} links, sends ${Math.round(rate)} B/s${agreedAt === time ? '; all agree' : ''}`,
      )
  }
  const { trace, network } = simulation
  if (!values.json) {
    for (const [type, count] of [...counts].sort()) console.log(`${String(count).padStart(9)}  ${type}`)
    for (const [kind, { count, bytes }] of [...network.byKind].sort())
      console.log(`${String(count).padStart(9)}  ${kind}, ${Math.round(bytes / count)} bytes each`)
    console.log(`${simulation.disagreement() || 'all agree'}; trace ${trace}; ${took()}`)
  }
  return agreedAt !== undefined

  function total(): number {
    return simulation.network.bytes.reduce((sum, bytes) => sum + bytes, 0)
  }
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
