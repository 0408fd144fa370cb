import type { FastifyInstance, FastifyRequest } from 'fastify'
import { NDJSON } from '../../protocol/control.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Rights } from '../../protocol/rights.ts'
import { SPEED_PATH, type SpeedReport } from '../../protocol/wire/speed.ts'
import { authorize, type Principal } from '../listeners/principal.ts'
import { type Counted, countFlow, sendRandom } from './countFlow.ts'

export interface SpeedRouteOptions {
  rights: () => Rights
  principalOf: (request: FastifyRequest) => Principal
  slots: SpeedSlots
}

/** The principals for which a test is running. */
export interface SpeedSlots {
  /** Throws `too_many` if a test for this principal is running already, or enough for others. Returns the undo. */
  acquire(principal: Principal): () => void
}

export function createSpeedSlots(): SpeedSlots {
  const served = new Set<string>()
  return {
    acquire({ caller, address }) {
      const who = caller === 'anonymous' ? address : caller
      if (served.has(who) || served.size >= SPEED.maxServed) throw new AppError('too_many', { from: who })
      served.add(who)
      return () => served.delete(who)
    },
  }
}

/**
 * How long the connection of an ended test stays open, in milliseconds, so that the last report arrives before the
 * data in flight is dropped.
 */
const LINGER_MS = 250

/**
 * Adds the serving side of a test between two nodes of this project. Bytes go only to the principal at the other end
 * of this connection.
 */
export async function addSpeedRoutes(app: FastifyInstance, options: SpeedRouteOptions): Promise<void> {
  const { rights, principalOf, slots } = options

  /** Authorizes the request before any of the body is read. */
  function begin(request: FastifyRequest): () => void {
    const principal = principalOf(request)
    // `--open` opens P2PRC's routes only; these routes refuse a caller without a key.
    authorize(principal.caller === 'anonymous' ? { ...rights(), open: false } : rights(), principal, 'measure')
    return slots.acquire(principal)
  }

  await app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('application/octet-stream', (_request, _body, done) => done(null))

    scope.get(SPEED_PATH, async (request, reply) => {
      const end = begin(request)
      reply.hijack()
      const { raw } = reply
      raw.on('error', () => {})
      raw.writeHead(200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' })
      try {
        await sendRandom(raw, budgetSpent)
      } finally {
        end()
        raw.end()
        // The data that a slow reader has not taken is dropped.
        setTimeout(() => raw.destroy(), LINGER_MS).unref()
      }
    })

    scope.post(SPEED_PATH, async (request, reply) => {
      const end = begin(request)
      reply.hijack()
      const { raw } = reply
      raw.on('error', () => {})
      raw.writeHead(200, { 'content-type': NDJSON, 'cache-control': 'no-store' })
      raw.flushHeaders()
      const sendReport = (counted: Counted, done: boolean) =>
        raw.write(`${JSON.stringify({ type: 'speed/report', ...counted, done } satisfies SpeedReport)}\n`)
      try {
        sendReport(await countFlow(request.raw, (counted) => sendReport(counted, false)), true)
      } finally {
        end()
        raw.end()
        setTimeout(() => request.raw.destroy(), LINGER_MS).unref()
      }
    })
  })
}

/**
 * Whether the budget of a test is spent. A reader closes the connection when it has enough; one that does not
 * receives no more than a full test.
 */
function budgetSpent({ bytes, ms }: { bytes: number; ms: number }): boolean {
  if (ms >= SPEED.maxMs + SPEED.slackMs) return true
  return bytes >= SPEED.maxBytes + SPEED.slackBytes && ms >= 1_000
}
