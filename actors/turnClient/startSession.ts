import { type ActorRefFrom, createActor } from 'xstate'
import { sessionMachine } from '../../machines/turnClient/session.ts'
import type { TunnelSpec } from '../../machines/turnClient/tunnel.ts'
import { type RelayConnectionOptions, relayConnection } from './relayConnection.ts'

/** A session that runs by itself. */
export interface RunningSession {
  /** Emits what happens to the session and its tunnels. */
  actor: ActorRefFrom<typeof sessionMachine>
  open(tunnel: TunnelSpec): void
  close(name: string): void
  /** Ends the session and its connections. */
  stop(): void
}

/** Starts a session at one relay, and opens its tunnels as soon as the relay has accepted it. */
export function startSession(options: RelayConnectionOptions, tunnels: readonly TunnelSpec[]): RunningSession {
  const actor = createActor(sessionMachine.provide({ actors: { relay: relayConnection(options) } }), {
    input: undefined,
  })
  const open = (tunnel: TunnelSpec) => actor.send({ type: 'tunnel.open', tunnel })
  actor.start()
  for (const tunnel of tunnels) open(tunnel)
  return { actor, open, close: (name) => actor.send({ type: 'tunnel.close', name }), stop: () => actor.stop() }
}
