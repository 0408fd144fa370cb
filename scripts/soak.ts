import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { runChaos } from '../bench/chaos.ts'
import { createSimulation } from '../bench/simulation.ts'

/**
 * `npm run soak [-- --seeds 1000] [-- --hours 24]`: bad days from many seeds, one process a core, then a day of 100 nodes
 * that lose 5 % of their messages, in which nobody may be declared dead. Exit code 1 where anything broke.
 */

type Job = { chaos: [from: number, step: number, to: number] } | { hours: number }

const given = (name: string, usual: number) => {
  const at = process.argv.indexOf(`--${name}`)
  return at < 0 ? usual : Number(process.argv[at + 1])
}

if (process.send) {
  process.once('message', (job: Job) => {
    const broken = 'hours' in job ? steady(job.hours) : chaos(...job.chaos)
    process.exit(broken === 0 ? 0 : 1)
  })
} else await all()

async function all(): Promise<void> {
  const begun = performance.now()
  const seeds = given('seeds', 1_000)
  const hours = given('hours', 24)
  const cores = Math.min(2, availableParallelism())
  const jobs: Job[] = Array.from({ length: cores }, (_, core) => ({ chaos: [core + 1, cores, seeds] }))
  const codes = await Promise.all(jobs.map(run))
  if (hours > 0) codes.push(await run({ hours }))
  const broken = codes.filter((code) => code !== 0).length
  console.log(`${broken === 0 ? 'all held' : 'BROKEN'}, ${((performance.now() - begun) / 60_000).toFixed(1)} minutes`)
  process.exitCode = broken === 0 ? 0 : 1
}

function run(job: Job): Promise<number> {
  return new Promise((resolve) => {
    const child = fork(import.meta.filename, { execArgv: ['--import', 'tsx'] })
    child.once('exit', (code) => resolve(code ?? 1))
    child.send(job)
  })
}

function chaos(from: number, step: number, to: number): number {
  let broken = 0
  for (let seed = from; seed <= to; seed += step) {
    const { agreedAfterMs = Number.POSITIVE_INFINITY, violations, falseDeaths, trace } = runChaos({ seed })
    const bad = violations.length > 0 || agreedAfterMs > 60_000
    if (bad) broken += 1
    if (bad || seed % 50 < step)
      console.log(
        `seed ${seed}: ${agreedAfterMs / 1_000} s, ${falseDeaths} wrong deaths, ${trace} ${violations.join('; ')}`,
      )
  }
  return broken
}

function steady(hours: number): number {
  let deaths = 0
  let doubts = 0
  const simulation = createSimulation({
    nodes: 100,
    seed: 24,
    acquainted: true,
    weather: { loss: 0.05 },
    heard(fact, node, now) {
      if (fact.type === 'record.doubted') doubts += 1
      if (fact.type !== 'record.dropped') return
      deaths += 1
      console.log(`${(now / 1_000).toFixed(1)} s: node ${node.host} drops ${fact.id}, which lives`)
    },
  })
  for (const { host } of simulation.nodes) simulation.start(host)
  simulation.runUntil(hours * 3_600_000)
  console.log(
    `${hours} virtual hours, 100 nodes, 5 % loss: ${deaths} wrong deaths, ${doubts} suspicions; ${simulation.trace}`,
  )
  return deaths + (simulation.agrees() ? 0 : 1)
}
