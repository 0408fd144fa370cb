import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import type { SteadyResult } from '../bench/steady.ts'
import type { ChaosResult } from '../simulation/chaos.ts'
import { type Job, type Outcome, runJobs } from '../simulation/soakPool.ts'

/**
 * `npm run soak [-- --seeds 1000] [--first 1] [--hours 24]`: a day of 100 nodes that lose 5 % of their messages, in which
 * nobody may be declared dead, and bad days from many seeds, two processes at a time. Exit code 1 where anything broke.
 */

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '1000' },
    first: { type: 'string', default: '1' },
    hours: { type: 'string', default: '24' },
  },
})
const seeds = number('seeds', 100_000)
const first = number('first', 0xffff_ffff)
const hours = number('hours', 10_000)

/** Virtual milliseconds from healing within which all must agree. */
const AGREE_MS = 60_000

const begun = performance.now()
const agreedAfter: number[] = []
let wrongDeaths = 0
let broken = 0
let cpuMs = 0

const jobs: Job[] = Array.from({ length: seeds }, (_, at) => ({ kind: 'chaos', seed: first + at }))
// The longest first, so that no core is left waiting for it at the end.
if (hours > 0) jobs.unshift({ kind: 'steady', hours, nodes: 100 })
console.log(`${seeds} bad days and ${hours} virtual hours, on ${cpus().length} × ${cpus()[0]?.model.trim()}`)

// Whoever stops it is told how far it came.
process.once('SIGINT', () => {
  sumUp()
  process.exit(130)
})

await runJobs(jobs, (outcome: Outcome) => {
  cpuMs += outcome.cpuMs
  if (outcome.kind === 'chaos') chaos(outcome.result)
  else steady(outcome.result)
})
sumUp()
process.exitCode = broken === 0 ? 0 : 1

function chaos({ seed, agreedAfterMs, violations, falseDeaths, trace }: ChaosResult): void {
  wrongDeaths += falseDeaths
  agreedAfter.push(agreedAfterMs ?? Number.POSITIVE_INFINITY)
  const isBroken = violations.length > 0 || agreedAfterMs === undefined || agreedAfterMs > AGREE_MS
  if (isBroken) broken += 1
  if (isBroken || falseDeaths > 0) {
    const what = `agreed after ${seconds(agreedAfterMs)}, ${falseDeaths} wrong deaths`
    console.log(`${isBroken ? 'BROKEN ' : ''}seed ${seed}: ${what}, ${trace} ${violations.join('; ')}`)
    console.log(`  again: npm run simulate -- --faults --nodes 50 --minutes 10 --seed ${seed}`)
  }
  if (agreedAfter.length % 50 === 0) console.log(`${agreedAfter.length} bad days, ${minutes()} minutes`)
}

function steady({ nodes, wrongDeaths: drops, suspicions, agrees, trace }: SteadyResult): void {
  for (const drop of drops.slice(0, 20)) console.log(drop)
  if (drops.length > 0 || !agrees) broken += 1
  console.log(
    `${hours} virtual hours, ${nodes} nodes, 5 % loss: ${drops.length} wrong deaths, ${suspicions} suspicions, ` +
      `${agrees ? 'all agree' : 'they DISAGREE'}, ${trace}, ${minutes()} minutes`,
  )
}

function sumUp(): void {
  agreedAfter.sort((one, other) => one - other)
  const by = (share: number) => seconds(agreedAfter[Math.floor((agreedAfter.length - 1) * share)])
  if (agreedAfter.length > 0)
    console.log(`agreed after healing: half by ${by(0.5)}, 99 % by ${by(0.99)}, all by ${by(1)}`)
  console.log(`${agreedAfter.length} of ${seeds} bad days, ${wrongDeaths} wrong deaths in them`)
  const core = (cpuMs / 60_000).toFixed(1)
  console.log(`${broken === 0 ? 'all held' : `${broken} BROKEN`}, ${minutes()} minutes, ${core} minutes of one core`)
}

function number(name: keyof typeof values, most: number): number {
  const value = Number(values[name])
  if (values[name].trim() !== '' && value >= 0 && value <= most) return value
  console.error(`--${name} must be a number from 0 to ${most}, not "${values[name]}"`)
  process.exit(2)
}

function seconds(ms = Number.POSITIVE_INFINITY): string {
  return Number.isFinite(ms) ? `${ms / 1_000} s` : 'never'
}

function minutes(): string {
  return ((performance.now() - begun) / 60_000).toFixed(1)
}
