import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { nodeId } from './ids.ts'
import { endpointSchema } from './net/endpointSchema.ts'
import type { RequestFact } from './request.ts'

export const speedTesterCommands = {
  /** Measures the latency and the rates to a peer. The peer must authorize this node to `measure`, or be a Go node. */
  'speed.measure': {
    schema: z.object({
      where: z.string().min(1).max(512),
      direction: z.enum(['both', 'download', 'upload']).default('both'),
    }),
    action: 'administer',
    terminalEvents: ['speed.measured', 'speed.measureFailed'],
  },
} as const satisfies Record<string, CommandSpec>

/** The direction as the measuring node sees it: it downloads from the peer and uploads to the peer. */
export type Direction = 'download' | 'upload'

export const speedTesterFacts = {
  /**
   * `mbps` is the rate so far in Mbit/s (10^6 bits), counted at the receiver; it is 0 while the latency is measured.
   */
  'speed.progress': answer({
    step: z.enum(['latency', 'download', 'upload']),
    line: z.string(),
    mbps: z.number(),
  }),
  /**
   * `id` is absent for a Go peer. The rates are in Mbit/s, and null if they were not requested or not measurable.
   * `latencyNs` and `latencyMedianNs` are the minimum and the median of ten round trips on an open connection, in
   * nanoseconds.
   */
  'speed.measured': answer({
    id: nodeId.optional(),
    endpoint: endpointSchema,
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
