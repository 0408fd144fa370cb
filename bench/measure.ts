import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'

/** One row of the results: our median against that of a baseline, both measured alternately in one run. */
export interface Figure {
  what: string
  baseline: string
  unit: string
  /** Medians. */
  ours: number
  theirs: number
  ratio: number
  /** The sign says which direction is better. Absent for what is only to be known. */
  goal?: { sign: '≤' | '≥'; ratio: number }
  rounds: number
}

/** A bench module exports one of these; `index.ts` runs them in order. */
export type Bench = () => Promise<Figure[]>

interface Pair {
  what: string
  baseline: string
  unit: string
  goal?: Figure['goal']
  rounds: number
  /** Each call takes one measurement. Ours runs first in even rounds, the baseline in odd ones. */
  ours: () => Promise<number>
  theirs: () => Promise<number>
  /** Number of rounds to run first without counting them; 1 by default. */
  warmUp?: number
}

/** A virtual machine's host may run other machines on its processors. A round in which it took more is repeated. */
const STOLEN_MAX = 0.05

/**
 * Measures both sides of a pair alternately and compares the medians. On a host that is busy all the time, it gives up
 * repeating rounds after as many again.
 */
export async function interleave(pair: Pair): Promise<Figure> {
  const ours: number[] = []
  const theirs: number[] = []
  const warmUp = pair.warmUp ?? 1
  for (let round = 0; ours.length < pair.rounds; round += 1) {
    const measured: [number, number] = [0, 0]
    const stolen = startStolen()
    for (const side of round % 2 === 0 ? [0, 1] : [1, 0])
      measured[side] = await (side === 0 ? pair.ours() : pair.theirs())
    if (round < warmUp || (stolen() > STOLEN_MAX && round < 2 * pair.rounds)) continue
    ours.push(measured[0])
    theirs.push(measured[1])
  }
  return figure(pair, median(ours), median(theirs))
}

/** Returns a function that returns the share of processor time that the host has taken since. 0 if the system does not tell. */
function startStolen(): () => number {
  const before = processorTimes()
  return () => {
    const now = processorTimes()
    return (now.stolen - before.stolen) / Math.max(1, now.all - before.all)
  }
}

/** The times of all processors in the first line of `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal. */
function processorTimes(): { all: number; stolen: number } {
  try {
    const times =
      readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]?.trim().split(/\s+/).slice(1, 9).map(Number) ?? []
    return { all: times.reduce((sum, time) => sum + time, 0), stolen: times[7] ?? 0 }
  } catch {
    return { all: 0, stolen: 0 }
  }
}

/** Makes a figure from two medians. */
export function figure(pair: Omit<Pair, 'ours' | 'theirs' | 'warmUp'>, ours: number, theirs: number): Figure {
  const { what, baseline, unit, goal, rounds } = pair
  return { what, baseline, unit, ...(goal && { goal }), rounds, ours, theirs, ratio: ours / theirs }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export function reached({ ratio, goal }: Figure): boolean {
  if (!goal) return true
  return goal.sign === '≤' ? ratio <= goal.ratio : ratio >= goal.ratio
}

/** Formats figures as a Markdown table, in which missed goals are marked. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((one) =>
    [
      one.what,
      one.baseline,
      `${readable(one.ours)} ${one.unit}`,
      `${readable(one.theirs)} ${one.unit}`,
      one.ratio.toFixed(one.ratio < 0.1 ? 4 : 2),
      one.goal ? `${one.goal.sign} ${one.goal.ratio}` : '–',
      !one.goal ? '' : reached(one) ? 'reached' : '**missed**',
      one.rounds,
    ].join(' | '),
  )
  const head = 'what | against | ours (median) | baseline (median) | ratio | goal | | rounds'
  return [head, '--- | --- | ---: | ---: | ---: | ---: | --- | ---:', ...rows].map((row) => `| ${row} |`).join('\n')
}

function readable(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1)
}

/** Describes this machine in one line. */
export function machine(): string {
  const model = cpus()[0]?.model.trim() ?? 'unknown CPU'
  const distribution = /PRETTY_NAME="([^"]+)"/.exec(readFileSync('/etc/os-release', 'utf8'))?.[1] ?? 'Linux'
  const memory = Math.round(totalmem() / 2 ** 30)
  return `${availableParallelism()} cores (${model}), ${memory} GiB, ${distribution}, kernel ${release()}, Node ${process.versions.node}, ${engine()}`
}

function engine(): string {
  try {
    return `Docker ${execFileSync('docker', ['version', '--format', '{{.Server.Version}}'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()}`
  } catch {
    return 'no engine'
  }
}
