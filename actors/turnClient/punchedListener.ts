import { type EventObject, fromCallback } from 'xstate'
import { z } from 'zod'
import { type PunchedListenEmits, punchedPathMachine } from '../../machines/turnClient/punchedPath.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { isIPv4 } from '../../protocol/net/address.ts'
import type { Dialer, DialTarget } from '../net/dialer.ts'
import { createPeerClient } from '../net/peerClient.ts'
import type { KeyOf } from '../net/punched/peerKeys.ts'
import type { Punched } from '../net/punched.ts'

export interface PunchedListenerOptions {
  dialer: Dialer
  punched: Pick<Punched, 'listen'>
  keyOf: KeyOf
  /** The relay by its id. Throws `not_found`. */
  targetOf(relay: string): DialTarget
  signal(): AbortSignal
}

/** What a relay answers, which may be hostile. */
const opened = z.object({ host: z.string().refine(isIPv4), port: z.int().min(1_024).max(65_535) })

/** Listens at the DHT of a relay. */
export function createPunchedListener({ dialer, punched, keyOf, targetOf, signal }: PunchedListenerOptions) {
  const peers = createPeerClient(dialer)

  /** Returns the relay's UDP ports, at an address of its own: it names no other machine to which this one would send. */
  async function requestPorts(relay: NodeId, abort: AbortSignal) {
    const target = targetOf(relay)
    const { fact } = await peers.request(target, { type: 'relay.openDht' }, { signal: abort })
    const answer = opened.safeParse(fact)
    if (answer.success && target.endpoints.some(({ host }) => host === answer.data.host)) return answer.data
    throw new AppError('protocol_error', { where: relay, why: 'it names no UDP port of its own' })
  }

  async function listenAt(relay: NodeId, abort: AbortSignal) {
    const at = await requestPorts(relay, abort)
    const key = await keyOf(relay, abort)
    if (!key) throw new AppError('not_found', { kind: 'node', id: relay })
    return { ...(await punched.listen({ ...at, key }, abort)), endpoint: { kind: 'punched', ...at } as const }
  }

  const listen = fromCallback<EventObject, { relay: NodeId }, PunchedListenEmits>(({ input: { relay }, sendBack }) => {
    const own = new AbortController()
    const abort = AbortSignal.any([own.signal, signal()])
    listenAt(relay, abort).then(
      ({ endpoint, close }) => {
        if (abort.aborted) return void close()
        abort.addEventListener('abort', () => void close())
        sendBack({ type: 'listen.opened', endpoint })
      },
      (error) => sendBack({ type: 'listen.failed', failure: toFailure(error) }),
    )
    return () => own.abort()
  })

  const renew = fromCallback<EventObject, { relay: NodeId }, PunchedListenEmits>(({ input: { relay }, sendBack }) => {
    const own = new AbortController()
    requestPorts(relay, AbortSignal.any([own.signal, signal()])).then(
      () => sendBack({ type: 'renew.done' }),
      (error) => sendBack({ type: 'listen.failed', failure: toFailure(error) }),
    )
    return () => own.abort()
  })

  return punchedPathMachine.provide({ actors: { listen, renew } })
}
