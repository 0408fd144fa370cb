import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { SteadyResult } from '../bench/steady.ts'
import type { ChaosResult } from '../simulation/chaos.ts'
import { type Job, type JobResult, runJobs } from '../simulation/soakPool.ts'

/**
 * `npm run soak [-- --seeds 1000] [--first 1] [--hours 24]` runs chaos simulations from many seeds, and one day of 100
 * nodes that lose 5 % of their messages, in which no node may be declared dead. Two processes run at a time. The exit code
 * is 1 if any run fails.
 *
 * `npm run soak -- NAME` instead runs test files at their full size: `tests` names them.
 */

/** The test files that `npm test` runs at a part of their size. */
const tests: Record<string, string | readonly string[]> = {
  largeTable: 'test/cli/largeTable.test.ts',
  simulation: 'test/simulation/simulation.test.ts',
  ghosts: 'test/simulation/ghosts.test.ts',
  /** A network of nodes behind routers, and each pair of kinds of real routers, twenty times. */
  nat: ['test/simulation/nat.test.ts', 'test/engine/punched.test.ts', 'test/engine/punchedNodes.test.ts'],
  /** A million mutations for each of frp's codecs. */
  frp: 'test/actors/frp/mutations.test.ts',
  /** Stock frp in every mode. */
  frpStock: 'test/engine/frpStock.test.ts',
  /** Ten thousand requests for ports. */
  relay: 'test/actors/relay/frpServer.test.ts',
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seeds: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    hours: { type: 'string', default: '24' },
  },
})
for (const name of positionals) process.exit(runTest(name))
const seeds = number('seeds', 100_000)
const first = number('first', 0xffff_ffff)
const hours = number('hours', 10_000)

/** All nodes must agree this many simulated milliseconds after the faults end. */
const AGREE_MS = 60_000

const startedAt = performance.now()
const agreedAfter: number[] = []
let falsePositives = 0
let failed = 0
let cpuMs = 0

const jobs: Job[] = Array.from({ length: seeds }, (_, at) => ({ kind: 'chaos', seed: first + at }))
// The longest job starts first, so that no core has to wait for it at the end.
if (hours > 0) jobs.unshift({ kind: 'steady', hours, nodes: 100 })
console.log(`${seeds} chaos runs and ${hours} virtual hours, on ${cpus().length} × ${cpus()[0]?.model.trim()}`)

process.once('SIGINT', () => {
  printSummary()
  process.exit(130)
})

await runJobs(jobs, (job: JobResult) => {
  cpuMs += job.cpuMs
  if (job.kind === 'chaos') onChaos(job.result)
  else onSteady(job.result)
})
printSummary()
process.exitCode = failed === 0 ? 0 : 1

/** Returns the exit code. */
function runTest(name: string): number {
  const files = (Object.hasOwn(tests, name) && tests[name]) || []
  if (files.length === 0) {
    console.error(`There is no soak test "${name}"; there are ${Object.keys(tests).join(', ')}`)
    return 2
  }
  const node = (args: string[]) =>
    spawnSync(process.execPath, ['--conditions=development', '--import', 'tsx', ...args], {
      stdio: 'inherit',
      env: { ...process.env, P2PRC_SOAK: 'full' },
    }).status ?? 1
  return node(['scripts/build.ts']) || node(['--test', '--test-reporter=spec', ...[files].flat()])
}

function onChaos({ seed, agreedAfterMs, violations, falsePositives: chaosFalsePositives, trace }: ChaosResult): void {
  falsePositives += chaosFalsePositives
  agreedAfter.push(agreedAfterMs ?? Number.POSITIVE_INFINITY)
  const isFailed = violations.length > 0 || agreedAfterMs === undefined || agreedAfterMs > AGREE_MS
  if (isFailed) failed += 1
  if (isFailed || chaosFalsePositives > 0) {
    const what = `agreed after ${seconds(agreedAfterMs)}, ${chaosFalsePositives} false positives`
    console.log(`${isFailed ? 'FAILED ' : ''}seed ${seed}: ${what}, trace ${trace} ${violations.join('; ')}`)
    console.log(`  to reproduce: npm run simulate -- --faults --nodes 50 --minutes 10 --seed ${seed}`)
  }
  if (agreedAfter.length % 50 === 0) console.log(`${agreedAfter.length} chaos runs, ${minutes()} minutes`)
}

function onSteady({ nodes, falsePositives: drops, suspicions, agrees, trace }: SteadyResult): void {
  for (const drop of drops.slice(0, 20)) console.log(drop)
  if (drops.length > 0 || !agrees) failed += 1
  console.log(
    `${hours} virtual hours, ${nodes} nodes, 5 % loss: ${drops.length} false positives, ${suspicions} suspicions, ` +
      `${agrees ? 'all nodes agree' : 'the nodes DISAGREE'}, trace ${trace}, ${minutes()} minutes`,
  )
}

function printSummary(): void {
  agreedAfter.sort((a, b) => a - b)
  const percentile = (part: number) => seconds(agreedAfter[Math.floor((agreedAfter.length - 1) * part)])
  if (agreedAfter.length > 0)
    console.log(
      `time to agreement after the faults: median ${percentile(0.5)}, p99 ${percentile(0.99)}, max ${percentile(1)}`,
    )
  console.log(`${agreedAfter.length} of ${seeds} chaos runs, with ${falsePositives} false positives`)
  const core = (cpuMs / 60_000).toFixed(1)
  console.log(`${failed === 0 ? 'all passed' : `${failed} FAILED`}, ${minutes()} minutes, ${core} minutes of CPU time`)
}

function number(name: keyof typeof values, max: number): number {
  const value = Number(values[name])
  if (values[name].trim() !== '' && value >= 0 && value <= max) return value
  console.error(`--${name} must be a number from 0 to ${max}, not "${values[name]}"`)
  process.exit(2)
}

function seconds(ms = Number.POSITIVE_INFINITY): string {
  return Number.isFinite(ms) ? `${ms / 1_000} s` : 'never'
}

function minutes(): string {
  return ((performance.now() - startedAt) / 60_000).toFixed(1)
}
