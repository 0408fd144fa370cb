import { performance } from 'node:perf_hooks'

/**
 * Starts to measure how long this process has work to do while other processes have the processor, in milliseconds: on
 * a busy machine this time says nothing of the code.
 */
export function startPreempted(): () => number {
  const loop = performance.eventLoopUtilization()
  const cpu = process.cpuUsage()
  return () => {
    const { active } = performance.eventLoopUtilization(loop)
    const { user, system } = process.cpuUsage(cpu)
    return Math.max(0, active - (user + system) / 1_000)
  }
}

/** Starts a clock for a bound on how long this process takes, in milliseconds, without the time in which it was preempted. */
export function startOwnTime(): () => number {
  const begun = performance.now()
  const preempted = startPreempted()
  return () => performance.now() - begun - preempted()
}
