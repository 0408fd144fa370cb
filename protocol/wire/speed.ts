import { z } from 'zod'
import { SPEED } from '../defaults/speedTester.ts'

/**
 * Path of the speed test. `GET` streams bytes until the client closes the connection; `POST` receives bytes and reports how
 * many arrived. It requires mutual TLS and the action `measure`.
 */
export const SPEED_PATH = '/api/v1/speed'

/** One line of the response to a `POST`: what the receiver has counted so far. The last line has `done` set. */
export const speedReport = z.object({
  type: z.literal('speed/report'),
  bytes: z.number().int().min(0),
  mbps: z.number().min(0).max(1e7),
  done: z.boolean(),
})

export type SpeedReport = z.infer<typeof speedReport>

/** Parses the `Range` header of `/50`. Returns the whole file for no or another kind of range, null if it is not satisfiable. */
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
