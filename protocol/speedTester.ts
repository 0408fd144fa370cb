import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { SPEED } from './defaults/speedTester.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { nodeId } from './ids.ts'
import type { RequestFact } from './request.ts'

export const speedTesterCommands = {
  /** How near and how fast a peer is. The owner asks; the peer must trust this node to `measure`, or be a Go node. */
  'speed.measure': {
    schema: z.object({
      where: z.string().min(1).max(512),
      direction: z.enum(['both', 'download', 'upload']).default('both'),
    }),
    action: 'administer',
    terminalEvents: ['speed.measured', 'speed.measureFailed'],
  },
} as const satisfies Record<string, CommandSpec>

/** As seen from the node that measures: it downloads from the peer and uploads to it. */
export type Direction = 'download' | 'upload'

export const speedTesterFacts = {
  /** `mbps` is the rate up to now in Mbit/s (10^6 bits), counted at the receiver; 0 for the latency. */
  'speed.progress': answer({
    step: z.enum(['latency', 'download', 'upload']),
    line: z.string(),
    mbps: z.number(),
  }),
  /**
   * `id` is absent for a Go peer. Rates in Mbit/s, null where not asked for or not to be had; the smallest and the middle
   * of ten round trips on an open connection in nanoseconds.
   */
  'speed.measured': answer({
    id: nodeId.optional(),
    host: z.string(),
    port: z.number(),
    download: z.number().nullable(),
    upload: z.number().nullable(),
    latencyNs: z.number(),
    latencyMedianNs: z.number(),
  }),
  'speed.measureFailed': failed,
} as const satisfies FactSpecs

export type SpeedTesterEmits = FactsOf<typeof speedTesterFacts>

export type SpeedMeasured = Extract<SpeedTesterEmits, { type: 'speed.measured' }>

export type SpeedTesterCommand = CommandsOf<typeof speedTesterCommands>

export type SpeedTesterAccepts = SpeedTesterCommand | RequestFact

/**
 * `GET` on it streams bytes until the reader has enough, `POST` takes them and reports what arrived: mutual TLS, the
 * action `measure`.
 */
export const SPEED_PATH = '/api/v1/speed'

/** A line of the answer to a `POST`: what the receiver has counted; the last one is `done`. */
export const speedReport = z.object({
  type: z.literal('speed/report'),
  bytes: z.number().int().min(0),
  mbps: z.number().min(0).max(1e7),
  done: z.boolean(),
})

export type SpeedReport = z.infer<typeof speedReport>

/** The part of `/50` that a `Range` header asks for: all of it without one or with one of another kind, null for none. */
export function rangeOf(
  header: string | undefined,
  size: number = SPEED.fileBytes,
): { from: number; to: number } | null {
  const all = { from: 0, to: size - 1 }
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '')
  if (!match) return all
  const [, first = '', last = ''] = match
  if (first === '' && last === '') return all
  if (first === '') return Number(last) === 0 ? null : { from: Math.max(0, size - Number(last)), to: size - 1 }
  const from = Number(first)
  const to = last === '' ? size - 1 : Math.min(Number(last), size - 1)
  if (last !== '' && Number(last) < from) return all
  return from >= size ? null : { from, to }
}
