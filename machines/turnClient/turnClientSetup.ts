import { assign, emit, enqueueActions, fromCallback, setup } from 'xstate'
import { RELAY_DISCOVERY_TIMEOUT_MS, RELAY_SEARCH_INTERVAL_MS } from '../../protocol/defaults/turnClient.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { TurnClientEmits } from '../../protocol/turnClient.ts'
import { relaysTo } from '../../protocol/wire/record.ts'
import { inPhase, requestActions, requestGuards } from '../requests.ts'
import { punchedPathMachine } from './punchedPath.ts'
import {
  DOMAIN_RELAY,
  heldAfter,
  isWorking,
  offeredRelays,
  RELAYS_KEPT,
  type RelayId,
  relayNamed,
  relaysToAdd,
  workingCount,
} from './relays.ts'
import { sessionMachine } from './session.ts'
import {
  type ConfirmInput,
  type Context,
  connecting,
  type Events,
  type FromAuthorize,
  type FromConfirm,
  type FromDelegate,
  type FromSearch,
  type FromStore,
  NODE_TUNNEL,
  nodeEndpoints,
  type PortCommand,
  type PortMap,
  PUNCHED_PATH,
  relayFor,
  type TurnClientInput,
  tunnelOf,
  viaOf,
  type WantedPort,
} from './turnClientContext.ts'

/** Holds the children of the concern's chart, and what it does with relays. */
export const turnClientSetup = setup({
  types: {
    context: {} as Context,
    input: {} as TurnClientInput,
    events: {} as Events,
    emitted: {} as TurnClientEmits,
  },
  actors: {
    session: sessionMachine,
    punchedPath: punchedPathMachine,
    /** Looks once for willing relays and for those that the owner named. */
    search: fromCallback<{ type: 'none' }, { names: string[] }, FromSearch>(() => {
      throw new Error('not provided')
    }),
    /** Sends something to the address outside until it arrives here, and reports each failure. */
    confirm: fromCallback<{ type: 'none' }, ConfirmInput, FromConfirm>(() => {
      throw new Error('not provided')
    }),
    store: fromCallback<{ type: 'save'; wanted: WantedPort[] }, undefined, FromStore>(() => {}),
    /** Looks for the port among those of the peer's containers. */
    authorize: fromCallback<{ type: 'none' }, { command: PortMap; signal: AbortSignal }, FromAuthorize>(() => {
      throw new Error('not provided')
    }),
    /** Sends the owner's command to another node. */
    delegate: fromCallback<{ type: 'none' }, { command: PortCommand; signal: AbortSignal }, FromDelegate>(() => {
      throw new Error('not provided')
    }),
  },
  delays: { searchInterval: RELAY_SEARCH_INTERVAL_MS, discoveryTimeout: RELAY_DISCOVERY_TIMEOUT_MS },
  guards: {
    ...requestGuards<Context>(),
    /** A process for a single command reaches nothing for others: it ends with the command. */
    isWanted: ({ context }) => context.port > 0 && Object.keys(context.wanted).length > 0,
    listensNowhere: ({ context }) => context.port === 0,
    /** Whether a relay is missing: one that lends the ports, the idle one, or one that the owner named. */
    isShort: ({ context }) => isShort(context),
    /** Whether a relay has become known while one is missing. */
    isRelay: ({ context }, { capabilities }: { capabilities: readonly string[] }) =>
      relaysTo(capabilities) !== 'nobody' && isShort(context),
    /** Whether a search that found these relays leaves none to log in at. */
    isNoneKnown: ({ context }, { relays: found }: Pick<FromSearch, 'relays'>) =>
      found.length === 0 && Object.keys(context.relays).length === 0,
    isElsewhere: (_, { caller, on }: { caller: string; on?: string | undefined }) =>
      caller === 'owner' && on !== undefined,
    isPeer: (_, { caller }: { caller: string }) => caller !== 'owner',
    /** Whether the mapping must go through a relay that was not searched for yet, or that has refused this node. */
    needsSearch: ({ context }, command: PortMap) => {
      const via = viaOf(context, command)
      const held = via === undefined ? undefined : relayNamed(context.relays, via)
      return via !== undefined && held?.state !== 'lost' && !(held && isWorking(held))
    },
    /** The same of a peer's mapping, which names no relay: it may have a domain. */
    needsDomainRelay: ({ context }, ended: FromAuthorize) =>
      'command' in ended && viaOf(context, ended.command) !== undefined && !relayNamed(context.relays, DOMAIN_RELAY),
    /** Whether it must go through one, and no relay is known. */
    namesFirstRelay: ({ context }, command: PortMap) =>
      viaOf(context, command) !== undefined && Object.keys(context.relays).length === 0,
    hadPort: ({ context }, { name }: { name: string }) => (context.wanted[name]?.remotePort ?? 0) > 0,
  },
  actions: requestActions<Context, Events>(),
}).extend({
  actions: {
    setPunched: assign((_, { relay, endpoint, failure }: PunchedChange) => ({
      punched: { relay, ...(endpoint && { endpoint }), ...(failure && { why: failure }) },
    })),
    emitNode: emit(({ context }) => ({ type: 'port.nodeRelayed' as const, endpoints: nodeEndpoints(context) })),
    hold: assign(({ context: { relays: held } }, { relays: found }: Pick<FromSearch, 'relays'>) => {
      const relays = heldAfter(held, found)
      return { relays, offered: offeredRelays(relays, found) }
    }),
    /** Logs in at the next relays on offer until two work. */
    logIn: enqueueActions(({ context, enqueue, self }) => {
      const { relays, sessions } = context
      const added = relaysToAdd(relays, context.offered)
      enqueue.assign(({ spawn }) => ({
        relays: {
          ...relays,
          ...Object.fromEntries(added.map((relay) => [relay.id, { relay, state: 'connecting', why: '' }])),
        },
        sessions: {
          ...sessions,
          ...Object.fromEntries(
            added.map(({ id }) => [id, spawn('session', { id: `session ${id}`, input: { parent: self, relay: id } })]),
          ),
        },
      }))
    }),
    showNode: emit(({ context: { mappings, punched } }, { requestId }: { requestId: string }) => {
      const mapping = mappings[NODE_TUNNEL]
      const { relay: _, ...shown } = punched ?? { relay: undefined }
      return {
        type: 'port.nodeShown' as const,
        requestId,
        ...(mapping && { mapping }),
        ...(shown && { punched: shown }),
      }
    }),
    /** Nobody lends ports yet, as far as this node knows. Those who wait are told so. */
    reportNone: enqueueActions(({ context, enqueue }) => {
      const line = 'No node is known yet that lends a port to this one; waiting for one'
      for (const { requestId } of inPhase(context.requests, 'mapping'))
        enqueue.emit({ type: 'port.progress', requestId, line })
    }),
    setRelay: assign({
      relays: (
        { context },
        { relay, state, why }: { relay: RelayId; state: 'active' | 'lost' | 'refused'; why: string },
      ) => {
        const held = context.relays[relay]
        return held ? { ...context.relays, [relay]: { ...held, state, why } } : context.relays
      },
    }),
    /** Stops the sessions at lost relays that others have replaced, and at those without a key that nothing goes through. */
    dropUnneeded: enqueueActions(({ context, enqueue }) => {
      const isReplaced = workingCount(context.relays) >= RELAYS_KEPT
      const vias = Object.values(context.wanted).map(({ via }) => via)
      const unneeded = Object.values(context.relays)
        .filter(({ state, relay: { names, keyless } }) =>
          keyless ? !names.some((name) => vias.includes(name)) : isReplaced && state === 'lost' && names.length === 0,
        )
        .map(({ relay }) => relay.id)
      if (unneeded.length === 0) return
      for (const id of unneeded) enqueue.stopChild(`session ${id}`)
      enqueue.assign({
        relays: omit(context.relays, unneeded),
        offered: context.offered.filter(({ keyless, id }) => !keyless || !unneeded.includes(id)),
        sessions: omit(context.sessions, unneeded),
      })
    }),
    /** Nothing is to be reached any more. */
    dropAll: enqueueActions(({ context, enqueue }) => {
      for (const id of Object.keys(context.sessions)) enqueue.stopChild(`session ${id}`)
      enqueue.assign({ relays: {}, offered: [], sessions: {}, leading: undefined, served: {} })
    }),
    /** Moves each tunnel to the relay at which it belongs now. */
    serve: enqueueActions(({ context, enqueue, self }) => {
      const leading = relayFor(context, { port: 0, protocol: 'tcp', remotePort: 0 })
      const served = { ...context.served }
      const mappings = { ...context.mappings }
      for (const [name, wanted] of Object.entries(context.wanted)) {
        const [former, next] = [served[name], relayFor({ ...context, leading }, wanted)]
        if (former === next) continue
        const mapping = mappings[name]
        enqueue.stopChild(`confirm ${name}`)
        const session = former && context.sessions[former]
        if (session) enqueue.sendTo(session, { type: 'tunnel.close', name })
        if (name === NODE_TUNNEL) {
          if (nodeEndpoints(context).length > 0) enqueue.emit({ type: 'port.nodeRelayed', endpoints: [] })
          enqueue.stopChild(PUNCHED_PATH)
          // A relay of another program has no DHT.
          const relay = next && !context.relays[next]?.relay.keyless ? (next as NodeId) : undefined
          enqueue.assign({ punched: relay && { relay } })
          if (relay) enqueue.spawnChild('punchedPath', { id: PUNCHED_PATH, input: { parent: self, relay } })
        } else if (mapping?.state === 'open') enqueue.emit({ type: 'port.lost', mapping })
        mappings[name] = connecting(wanted)
        delete served[name]
        if (!next) continue
        served[name] = next
        const opened = context.sessions[next]
        if (opened) enqueue.sendTo(opened, { type: 'tunnel.open', tunnel: { name, ...tunnelOf(wanted) } })
      }
      enqueue.assign({ leading, served, mappings })
    }),
  },
})

interface PunchedChange {
  relay: NodeId
  endpoint?: Endpoint
  failure?: Failure
}

function isShort({ relays, wanted }: Context): boolean {
  if (workingCount(relays) < RELAYS_KEPT) return true
  return Object.values(wanted).some(({ via }) => via !== undefined && !relayNamed(relays, via))
}

/** Returns the record without these keys. */
export function omit<T>(record: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))
}
