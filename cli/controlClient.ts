import { setTimeout as delay } from 'node:timers/promises'
import type { z } from 'zod'
import { holderOf } from '../actors/home/lock.ts'
import { homePaths } from '../actors/homePaths.ts'
import { followEvents, type ReceivedFact, sendRequest } from '../client/commandStream.ts'
import { withoutControlCharacters } from '../client/receivedText.ts'
import { LOCK_WAIT_MS } from '../protocol/defaults/node.ts'
import { AppError } from '../protocol/errors.ts'
import type { Answer, Command, Concern, commandsByConcern } from '../protocol/index.ts'

export type { ReceivedFact } from '../client/commandStream.ts'

export interface RequestOptions {
  /** Every fact that echoes the request, the finishing one included. */
  onFact?: (fact: ReceivedFact) => void
  signal?: AbortSignal
  /** Told what the owner should hear about the home, such as a file that was set aside. */
  onNote?: (note: string) => void
}

type SpecOf<T> = {
  [C in Concern]: T extends keyof (typeof commandsByConcern)[C] ? (typeof commandsByConcern)[C][T] : never
}[Concern]

/** What a command says, without what its schema fills in. */
export type Payload<T extends Command['type']> = z.input<SpecOf<T>['schema']>

/** A fact as the owner gets it: what is a secret on the bus is a plain string here. */
export type RevealedFact<T extends Answer['type']> = Extract<Answer, { type: T }>

const RETRY_MS = 50
const WHERE = 'the node on this machine'

/**
 * Sends one command for the owner and resolves with the fact that finishes it, which must be `expected`. It goes to the
 * node that runs on this home; where none does, the same system is started in this process, without listening, for
 * this one command. Rejects with the command's own failure, or with `interrupted` when `signal` aborts.
 */
export async function request<T extends Command['type']>(
  type: T,
  payload: Payload<T>,
  expected: SpecOf<T>['terminalEvents'][0],
  options: RequestOptions = {},
): Promise<RevealedFact<SpecOf<T>['terminalEvents'][0]>> {
  const command = { ...(payload as object), type }
  try {
    const fact = await route(command, options)
    if (fact.type !== expected)
      throw new AppError('protocol_error', { where: WHERE, why: `it answered with ${fact.type}` })
    return fact as unknown as RevealedFact<typeof expected>
  } catch (error) {
    throw options.signal?.aborted ? new AppError('interrupted') : error
  }
}

/** Follows everything that happens in the running node until `signal` aborts or the node ends. */
export async function followNodeEvents(onEvent: (event: ReceivedFact) => void, signal: AbortSignal): Promise<void> {
  const socketPath = holderOf(homePaths(process.env).lock)?.socket
  if (!socketPath) throw new AppError('no_node')
  try {
    await followEvents({
      connect: { socketPath },
      where: WHERE,
      onFact: (event) => onEvent(withoutControlCharacters(event)),
      signal,
    })
  } catch (error) {
    throw isConnectionRefused(error) ? new AppError('no_node') : error
  }
}

async function route(command: { type: string }, { onFact, signal, onNote }: RequestOptions): Promise<ReceivedFact> {
  const { lock, dir } = homePaths(process.env)
  let waitedMs = 0
  // Names and lines of other machines end on a terminal, whichever way they came.
  const sanitized = { ...(onFact && { onFact: (fact: ReceivedFact) => onFact(withoutControlCharacters(fact)) }) }
  const options = { ...sanitized, ...(signal && { signal }), ...(onNote && { onNote }) }
  for (;;) {
    const holder = holderOf(lock)
    try {
      if (holder) {
        const connect = { socketPath: holder.socket }
        return withoutControlCharacters(await sendRequest(command, { ...options, connect, where: WHERE }))
      }
      const { requestInProcess } = await import('./inProcess.ts')
      return withoutControlCharacters(await requestInProcess(command, options))
    } catch (error) {
      // Another command works on this home without listening, or a node is about to listen or to end.
      const busy = holder ? isConnectionRefused(error) : isHomeLocked(error)
      if (!busy || signal?.aborted) throw error
      if (waitedMs >= LOCK_WAIT_MS) throw new AppError('home_locked', { path: dir, pid: holder?.pid ?? '?' }, error)
    }
    await delay(RETRY_MS)
    waitedMs += RETRY_MS
  }
}

/** The connection was refused before anything was sent. */
function isConnectionRefused(error: unknown): boolean {
  const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
  return code === 'ENOENT' || code === 'ECONNREFUSED'
}

function isHomeLocked(error: unknown): boolean {
  return (error as { code?: unknown }).code === 'home_locked'
}
