import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem } from 'node:os'

/** One line of the results: ours against the anchor, both taken in turns in one run. */
export interface Figure {
  what: string
  anchor: string
  unit: string
  /** Medians. */
  ours: number
  theirs: number
  /** `ours / theirs`, or for rates where more is better the same with the goal turned round. */
  ratio: number
  goal: { sign: '≤' | '≥'; ratio: number }
  rounds: number
}

/** A bench module exports one of these; `index.ts` runs them in order. */
export type Bench = () => Promise<Figure[]>

interface Pair {
  what: string
  anchor: string
  unit: string
  goal: Figure['goal']
  rounds: number
  /** One measurement each. They run in turns, ours first in even rounds, the anchor first in odd ones. */
  ours: () => Promise<number>
  theirs: () => Promise<number>
  /** Rounds not counted, first. */
  warmUp?: number
}

/** Measures a pair in turns and compares the medians. */
export async function interleave(pair: Pair): Promise<Figure> {
  const ours: number[] = []
  const theirs: number[] = []
  const warmUp = pair.warmUp ?? 1
  for (let round = 0; round < pair.rounds + warmUp; round += 1) {
    const measured: [number, number] = [0, 0]
    for (const side of round % 2 === 0 ? [0, 1] : [1, 0])
      measured[side] = await (side === 0 ? pair.ours() : pair.theirs())
    if (round < warmUp) continue
    ours.push(measured[0])
    theirs.push(measured[1])
  }
  return figure(pair, median(ours), median(theirs))
}

/** A figure from two medians that were taken elsewhere. */
export function figure(pair: Omit<Pair, 'ours' | 'theirs' | 'warmUp'>, ours: number, theirs: number): Figure {
  const { what, anchor, unit, goal, rounds } = pair
  return { what, anchor, unit, goal, rounds, ours, theirs, ratio: ours / theirs }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2
}

export function reached({ ratio, goal }: Figure): boolean {
  return goal.sign === '≤' ? ratio <= goal.ratio : ratio >= goal.ratio
}

/** The results as a Markdown table; a goal that was missed says so. */
export function table(figures: readonly Figure[]): string {
  const rows = figures.map((one) =>
    [
      one.what,
      one.anchor,
      `${readable(one.ours)} ${one.unit}`,
      `${readable(one.theirs)} ${one.unit}`,
      one.ratio.toFixed(one.ratio < 0.1 ? 4 : 2),
      `${one.goal.sign} ${one.goal.ratio}`,
      reached(one) ? 'reached' : '**missed**',
      one.rounds,
    ].join(' | '),
  )
  const head = 'what | against | ours (median) | anchor (median) | ratio | goal | | rounds'
  return [head, '--- | --- | ---: | ---: | ---: | ---: | --- | ---:', ...rows].map((row) => `| ${row} |`).join('\n')
}

function readable(value: number): string {
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1)
}

/** The machine in one sentence, for the head of the results. */
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
