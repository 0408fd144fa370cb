import type { Bus } from '../protocol/bus.ts'
import { AppError, fromFailure, isFailure } from '../protocol/errors.ts'
import { type Answer, type BusEvent, type Command, commands } from '../protocol/index.ts'

export interface RequestOptions {
  /** Every fact that echoes the request, the finishing one included, in order. */
  onFact?: (fact: Answer) => void
  /** Abort when whoever asked has gone: the concerns are told, and the promise rejects with `abandoned`. */
  signal?: AbortSignal
}

/**
 * Publishes a command and waits for the fact that finishes it, as the listeners and the in-process CLI do. A failed one
 * rejects with its `AppError`; a concern that crashes in the middle rejects with `internal` instead of never answering.
 */
export function request(
  bus: Bus<BusEvent>,
  command: Command,
  { onFact, signal }: RequestOptions = {},
): Promise<Answer> {
  const spec = commands.get(command.type)
  if (!spec) return Promise.reject(new AppError('unknown_command', { name: command.type }))
  return new Promise((resolve, reject) => {
    const abandon = () => {
      finish()
      bus.publish({ type: 'request.abandoned', requestId: command.requestId })
      reject(new AppError('abandoned'))
    }
    const untap = bus.tap((event) => {
      if (event.type === 'node.concernCrashed' && event.concern === spec.concern) {
        finish()
        reject(new AppError('internal', { why: `${event.concern} failed: ${event.message}` }))
      }
      if (!isAnswer(event, command)) return
      onFact?.(event)
      if (!spec.terminalEvents.includes(event.type)) return
      finish()
      if (isFailure(event)) reject(fromFailure(event))
      else resolve(event)
    })
    const finish = () => {
      untap()
      signal?.removeEventListener('abort', abandon)
    }
    if (signal?.aborted) return abandon()
    signal?.addEventListener('abort', abandon)
    bus.publish(command)
  })
}

function isAnswer(event: BusEvent, { requestId, type }: Command): event is Answer {
  return (
    'requestId' in event && event.requestId === requestId && event.type !== type && event.type !== 'request.abandoned'
  )
}
