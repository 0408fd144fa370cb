import { type ChildProcess, fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { runSteady, type SteadyResult } from '../bench/steady.ts'
import { type ChaosResult, runChaos } from './chaos.ts'

/** A simulation that is long enough to deserve a process of its own. */
export type Job = { kind: 'chaos'; seed: number } | { kind: 'steady'; hours: number; nodes: number }

/** What a job returned, and the CPU time that it took in milliseconds. */
export type JobResult = { readonly cpuMs: number } & (
  | { kind: 'chaos'; result: ChaosResult }
  | { kind: 'steady'; result: SteadyResult }
)

/** Most allocations of a step die with the next one: a large young generation lets V8 collect them cheaply. */
const ARGUMENTS = ['--max-semi-space-size=32', '--import', 'tsx']

/**
 * Starts the jobs in order, at most `most` at a time and one on each core, and calls `onResult` as they finish. Rejects if
 * a worker process exits without a result.
 */
export async function runJobs(jobs: readonly Job[], onResult: (result: JobResult) => void, most = 2): Promise<void> {
  const waiting = [...jobs]
  const processes = Math.min(most, availableParallelism(), jobs.length)
  const children = Array.from({ length: processes }, () => fork(import.meta.filename, { execArgv: ARGUMENTS }))
  try {
    await Promise.all(
      children.map(async (child) => {
        for (let job = waiting.shift(); job; job = waiting.shift()) onResult(await request(child, job))
      }),
    )
  } finally {
    for (const child of children) child.kill()
  }
}

function request(child: ChildProcess, job: Job): Promise<JobResult> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) =>
      reject(new Error(`the process that ran ${JSON.stringify(job)} exited with ${code}`))
    child.once('exit', onExit)
    child.once('message', (result: JobResult) => {
      child.off('exit', onExit)
      resolve(result)
    })
    child.send(job)
  })
}

function run(job: Job): JobResult {
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
