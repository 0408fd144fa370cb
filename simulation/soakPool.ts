import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { runSteady, type SteadyResult } from '../bench/steady.ts'
import { type ChaosResult, runChaos } from './chaos.ts'

/** Long simulations in processes of their own, one a core: each run is one thread's work, and none knows of another. */

export type Job = { kind: 'chaos'; seed: number } | { kind: 'steady'; hours: number; nodes: number }

export type Outcome = { readonly cpuMs: number } & (
  | { kind: 'chaos'; result: ChaosResult }
  | { kind: 'steady'; result: SteadyResult }
)

/** Most of what a step makes is gone with the next: a roomy nursery lets it die there. */
const ARGUMENTS = ['--max-semi-space-size=32', '--import', 'tsx']

/** Runs all jobs in their order, `most` at a time. Rejects where a process ends without an answer. */
export async function runJobs(jobs: readonly Job[], ended: (outcome: Outcome) => void, most = 2): Promise<void> {
  const waiting = [...jobs]
  const processes = Math.min(most, availableParallelism(), jobs.length)
  const children = Array.from({ length: processes }, () => fork(import.meta.filename, { execArgv: ARGUMENTS }))
  try {
    await Promise.all(
      children.map(async (child) => {
        for (let job = waiting.shift(); job; job = waiting.shift()) ended(await request(child, job))
      }),
    )
  } finally {
    for (const child of children) child.kill()
  }
}

function request(child: ChildProcess, job: Job): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const lost = (code: number | null) => reject(new Error(`${JSON.stringify(job)} ended its process: ${code}`))
    child.once('exit', lost)
    child.once('message', (outcome: Outcome) => {
      child.off('exit', lost)
      resolve(outcome)
    })
    child.send(job)
  })
}

function run(job: Job): Outcome {
  const before = process.cpuUsage()
  const done =
    job.kind === 'chaos'
      ? ({ kind: 'chaos', result: runChaos({ seed: job.seed }) } as const)
      : ({ kind: 'steady', result: runSteady(job) } as const)
  const { user, system } = process.cpuUsage(before)
  return { ...done, cpuMs: (user + system) / 1_000 }
}

if (process.send && process.argv[1] === import.meta.filename)
  process.on('message', (job: Job) => {
    process.send?.(run(job))
  })
