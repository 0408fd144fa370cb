import { performance } from 'node:perf_hooks'

/**
 * Starts a clock for a bound on how long this process takes. It returns the milliseconds since then, less those in which
 * the process had work to do and other processes had the processor: on a busy machine these say nothing of the code.
 */
export function startOwnTime(): () => number {
  const begun = performance.now()
  const loop = performance.eventLoopUtilization()
  const cpu = process.cpuUsage()
  return () => {
    const { active } = performance.eventLoopUtilization(loop)
    const { user, system } = process.cpuUsage(cpu)
    const preempted = Math.max(0, active - (user + system) / 1_000)
    return performance.now() - begun - preempted
  }
}
