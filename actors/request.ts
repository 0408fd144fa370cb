import type { Bus } from '../protocol/bus.ts'
import { deadlineOf } from '../protocol/defaults/requests.ts'
import { AppError, fromFailure, isFailure } from '../protocol/errors.ts'
import { type Answer, type BusEvent, type Command, commands } from '../protocol/index.ts'
import { type Clock, realClock } from './clock.ts'

export interface RequestOptions {
  /**
   * Receives every fact that echoes the request, in order, including the terminal event. If it returns a promise for a
   * page of a long answer, the next page waits until the promise resolves; if the promise rejects, the reader has gone,
   * and the request is abandoned.
   */
  onFact?: (fact: Answer) => unknown
  /** Abort it to abandon the request: `request.abandoned` is published, and the promise rejects with `abandoned`. */
  signal?: AbortSignal
  clock?: Clock
}

/**
 * Publishes a command and waits for its terminal event. Listeners, the command line and the concerns all use it.
 * Rejects with the `AppError` of a failed command, and with `internal` if the concern crashes. Rejects with
 * `timed_out`, and publishes `request.abandoned`, if no fact arrives within the command's deadline in
 * `protocol/defaults/requests.ts`; each fact restarts the deadline. Rejects with `request_id_in_use`, and publishes
 * nothing, if a command of another type with the same id has no answer yet.
 */
export function request(
  bus: Bus<BusEvent>,
  command: Command,
  { onFact, signal, clock = realClock }: RequestOptions = {},
): Promise<Answer> {
  const spec = commands.get(command.type)
  if (!spec) return Promise.reject(new AppError('unknown_command', { name: command.type }))
  // The command has not been published yet, so there is nothing to abandon.
  if (signal?.aborted) return Promise.reject(new AppError('abandoned'))
  const release = reserve(bus, command)
  if (release instanceof AppError) return Promise.reject(release)
  const deadlineMs = deadlineOf(command)
  return new Promise((resolve, reject) => {
    let timer: unknown
    const abandon = (error: AppError) => {
      finish()
      bus.publish({ type: 'request.abandoned', requestId: command.requestId })
      reject(error)
    }
    const onAbort = () => abandon(new AppError('abandoned'))
    const restartDeadline = () => {
      if (deadlineMs === null) return
      clock.clearTimeout(timer)
      const where = `The concern ${spec.concern} (${command.type})`
      timer = clock.setTimeout(() => abandon(new AppError('timed_out', { where, ms: deadlineMs })), deadlineMs)
    }
    const untap = bus.tap((event) => {
      if (event.type === 'node.concernCrashed' && event.concern === spec.concern) {
        finish()
        reject(new AppError('internal', { why: `${event.concern} failed: ${event.message}` }))
      }
      if (!isAnswer(event, command)) return
      const isTerminal = spec.terminalEvents.includes(event.type)
      if (isTerminal) finish()
      else restartDeadline()
      const taken = onFact?.(event)
      if (event.type === spec.page && !isTerminal) void continueAfter(taken)
      if (!isTerminal) return
      if (isFailure(event)) reject(fromFailure(event))
      else resolve(event)
    })
    const continueAfter = async (taken: unknown) => {
      // However long the reader takes, the concern is not late.
      clock.clearTimeout(timer)
      try {
        await taken
      } catch (error) {
        if (!finished) abandon(new AppError('abandoned', {}, error))
      }
      if (finished) return
      restartDeadline()
      bus.publish({ type: 'request.continued', requestId: command.requestId })
    }
    let finished = false
    const finish = () => {
      finished = true
      release()
      untap()
      clock.clearTimeout(timer)
      signal?.removeEventListener('abort', onAbort)
    }
    signal?.addEventListener('abort', onAbort)
    restartDeadline()
    bus.publish(command)
  })
}

/** For each id on a bus: the type of the command that has it, and how many requests wait for its answer. */
const pendingIds = new WeakMap<Bus<BusEvent>, Map<string, { type: Command['type']; waiters: number }>>()

/**
 * Reserves the id for the command and its repetitions, and returns the release, to be called once. Otherwise a concern
 * would take a command with the id of another one for its repetition, and never answer it.
 */
function reserve(bus: Bus<BusEvent>, { type, requestId }: Command): (() => void) | AppError {
  const pending = pendingIds.get(bus) ?? new Map()
  pendingIds.set(bus, pending)
  const holder = pending.get(requestId) ?? { type, waiters: 0 }
  if (holder.type !== type) return new AppError('request_id_in_use', { type, pending: holder.type })
  pending.set(requestId, holder)
  holder.waiters += 1
  return () => {
    holder.waiters -= 1
    if (holder.waiters === 0) pending.delete(requestId)
  }
}

function isAnswer(event: BusEvent, { requestId, type }: Command): event is Answer {
  const isAboutRequest = event.type === 'request.abandoned' || event.type === 'request.continued'
  return 'requestId' in event && event.requestId === requestId && event.type !== type && !isAboutRequest
}
