import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { Bus } from '../../protocol/bus.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import { type BusEvent, type Command, commands } from '../../protocol/index.ts'
import type { Rights } from '../../protocol/rights.ts'
import { revealed } from '../../protocol/secret.ts'
import { checked, commandEnvelope } from '../../protocol/wire/http.ts'
import { request } from '../request.ts'
import { openFactStream } from './factStream.ts'
import { authorize, type Principal } from './principal.ts'

/** A command that a principal may send, with the request id that the principal chose. */
export interface AuthorizedCommand {
  /** Its `requestId` is the principal's, made unique on the bus by the caller. */
  command: Command
  requestId: string
}

/**
 * Validates and authorizes a command. Throws an `AppError` if it is unknown, not allowed, or does not fit its schema.
 */
export function authorizeCommand(body: unknown, principal: Principal, rights: Rights): AuthorizedCommand {
  const { type, requestId = randomUUID(), ...payload } = checked(commandEnvelope, body)
  const spec = commands.get(type)
  if (!spec) throw new AppError('unknown_command', { name: type.replace(/[^\x21-\x7e]/g, '?') })
  // `--open` applies only to P2PRC's routes. On this route, a caller without a key may only `see`.
  authorize(principal.caller === 'anonymous' ? { ...rights, open: false } : rights, principal, spec.action)
  const checkedPayload = checked(spec.schema, payload) as object
  const { caller, address } = principal
  const meta = { requestId: busRequestId(principal, requestId), caller, ...(spec.isObserved && { from: address }) }
  const command = { ...checkedPayload, type, ...meta } as Command
  return { command, requestId }
}

/** Returns the request id on the bus, which includes the caller, so that ids of different callers never collide. */
export function busRequestId({ caller }: Principal, requestId: string): string {
  return caller === 'owner' ? requestId : `${caller} ${requestId}`
}

export interface CommandRoute {
  /** Publishes the command and streams its facts, with revealed secrets, until the terminal event. */
  reply(authorized: AuthorizedCommand, response: ServerResponse): Promise<void>
  /** Ends all open streams with `stopping`. */
  close(): void
}

export function createCommandRoute(bus: Bus<BusEvent>): CommandRoute {
  const open = new Set<(error: AppError) => void>()
  /**
   * For each request on the bus: the number of open connections that wait for it, and the abort of all its repetitions.
   */
  const waiting = new Map<string, { connections: number; abort: AbortController }>()

  /**
   * A principal that repeats a request waits for the same answer, so it is abandoned when the last connection closes.
   */
  function wait(requestId: string): { signal: AbortSignal; leave: () => void } {
    const shared = waiting.get(requestId) ?? { connections: 0, abort: new AbortController() }
    waiting.set(requestId, shared)
    shared.connections += 1
    let left = false
    const leave = () => {
      if (left) return
      left = true
      shared.connections -= 1
      if (shared.connections > 0) return
      waiting.delete(requestId)
      shared.abort.abort()
    }
    return { signal: shared.abort.signal, leave }
  }

  return {
    async reply({ command, requestId }, response) {
      const { signal, leave } = wait(command.requestId)
      const stream = openFactStream(response, leave)
      const stop = (error: AppError) => {
        stream.write({ error: error.toJSON() })
        stream.end()
        leave()
      }
      open.add(stop)
      const { terminalEvents, page } = commands.get(command.type) ?? {}
      let finished = false
      try {
        await request(bus, command, {
          signal,
          onFact: (fact) => {
            finished ||= terminalEvents?.includes(fact.type) ?? false
            const isFast = stream.write({ ...(revealed(fact) as object), requestId })
            // The next page waits for the reader, so that a long answer never piles up.
            if (fact.type === page) return stream.drained()
            if (isFast || finished) return
            // Even a slow reader gets this line, because an answer without it would look complete.
            stream.write({ error: new AppError('reader_slow').toJSON() })
            stream.end()
            leave()
          },
        })
      } catch (error) {
        if (!finished) stream.write({ error: toFailure(error) })
      } finally {
        leave()
        open.delete(stop)
        stream.end()
      }
    },
    close() {
      for (const stop of [...open]) stop(new AppError('stopping'))
    },
  }
}
