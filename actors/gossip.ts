import { randomBytes } from 'node:crypto'
import { fromCallback } from 'xstate'
import type { GossipStart } from '../machines/gossip/gossipState.ts'
import { type FromPersist, type FromTransport, gossipMachine, type ToTransport } from '../machines/gossip.ts'
import { version } from '../package.json'
import type { Bus } from '../protocol/bus.ts'
import { toFailure } from '../protocol/errors.ts'
import type { GossipFile } from '../protocol/files/gossip.ts'
import type { BusEvent } from '../protocol/index.ts'
import { type NodeRecord, SEQ_MAX } from '../protocol/wire/record.ts'
import { createGossipTools } from './gossip/recordSignature.ts'
import { createTransport, type TransportOptions } from './gossip/transport.ts'
import type { Identity } from './identity.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export { type GossipListener, openGossipListener } from './gossip/accept.ts'

export interface GossipOptions {
  identity: Pick<Identity, 'id' | 'name' | 'publicKey' | 'tls'>
  store: Store<GossipFile>
  /** Where this node can be dialled, `ip:port`, best first, and the port on which it listens; 0 where it does not. */
  advertised: () => { addresses: string[]; port: number }
  own: Pick<OwnRecord, 'last'>
  /** Nodes known from before and addresses given by the owner, read at each start of the concern. */
  bootstrapAddresses: () => GossipStart['bootstrapAddresses']
  /** Absent: no links, as for a single command. What it describes travels when the node runs. */
  links?: TransportOptions
  config?: GossipStart['config']
}

/** The gossip concern over WebSockets and mutual TLS. */
export function createGossip(options: GossipOptions): ConcernParts<typeof gossipMachine> {
  const { identity, store, links, config } = options
  const { id, name, publicKey, tls } = identity
  const noTransport = fromCallback<ToTransport, { signal: AbortSignal }, FromTransport>(() => {})
  const persist = fromCallback<{ type: 'none' }, { requestId: string; text: string }, FromPersist>(
    ({ input, sendBack }) => {
      store.write({ ...store.data, customInformation: input.text }).then(
        () => sendBack({ type: 'persist.ended', ...input }),
        (error) => sendBack({ type: 'persist.ended', ...input, failure: toFailure(error) }),
      )
    },
  )
  return {
    name: 'gossip',
    logic: gossipMachine.provide({ actors: { transport: links ? createTransport(links) : noTransport, persist } }),
    input: (signal) => {
      const lastSeq = store.data.seq
      if (links) persistSeq(store, lastSeq + 1)
      const { last } = options.own
      const { addresses, port } = options.advertised()
      const start = {
        id,
        key: publicKey.split(' ', 2).join(' '),
        fields: {
          name: name.slice(0, 128).toWellFormed(),
          // After a crash what was learned meanwhile is still true: what peers see, what the machine has.
          addresses: last?.addresses ?? addresses.slice(0, 8),
          ...(last?.machine && { machine: last.machine }),
          port,
          version,
          customInformation: store.data.customInformation,
          capabilities: [],
        },
        lastSeq,
        bootstrapAddresses: options.bootstrapAddresses(),
        now: performance.now(),
        seed: randomBytes(4).readInt32LE(),
        ...(config && { config }),
      }
      return { start, tools: createGossipTools(tls.key), signal }
    },
    accepts: [
      'peer.addressDiscovered',
      'table.selfAddressesChanged',
      'specs.changed',
      'record.describe',
      'node.stopping',
    ],
  }
}

/** The own record as it was last written, across the lives of the concern. */
export interface OwnRecord {
  readonly last: NodeRecord | undefined
  undo(): void
}

/** Follows the own record, and writes down its seq, so that this node never signs two records under one. */
export function trackOwnRecord(bus: Bus<BusEvent>, store: Store<GossipFile>): OwnRecord {
  let last: NodeRecord | undefined
  const undo = bus.on('record.ownSigned', ({ record }) => {
    last = record
    persistSeq(store, record.seq)
  })
  return {
    get last() {
      return last
    },
    undo,
  }
}

/** A disk that fails costs nothing: others remember the seq too. */
function persistSeq(store: Store<GossipFile>, seq: number): void {
  if (seq > store.data.seq && seq <= SEQ_MAX) store.write({ ...store.data, seq }).catch(() => {})
}
