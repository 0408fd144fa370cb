import { randomBytes } from 'node:crypto'
import type { GossipStart } from '../machines/gossip/gossipState.ts'
import { type GossipInput, gossipMachine } from '../machines/gossip.ts'
import { version } from '../package.json'
import type { GossipFile } from '../protocol/gossip.ts'
import { refusal } from '../protocol/reachable.ts'
import { SEQ_MAX } from '../protocol/record.ts'
import type { LinkSource } from './gossip/accept.ts'
import { createGossipTools } from './gossip/recordSignature.ts'
import { createWires } from './gossip/wires.ts'
import type { Identity } from './identity.ts'
import type { Dial } from './speedTester/speedLink.ts'
import type { Store } from './store.ts'

export { type GossipDoor, openGossipDoor } from './gossip/accept.ts'

export interface GossipOptions {
  identity: Pick<Identity, 'id' | 'name' | 'publicKey' | 'tls'>
  store: Store<GossipFile>
  /** Where this node can be dialled, `ip:port`, best first, and the port on which it listens. */
  addresses: () => string[]
  port: () => number
  /** The owner's free text. */
  customInformation: () => string
  /** Nodes known from before and addresses given by the owner: ways in, asked for at each start of the concern. */
  known: () => GossipStart['meetings']
  source: LinkSource
  dial: Dial
  /** P2PRC's switch for networks on one machine: others may name loopback addresses. */
  test: boolean
  config?: GossipStart['config']
}

/** The gossip concern over WebSockets and mutual TLS. */
export function createGossip(options: GossipOptions) {
  const { identity, store, source, dial, test, config } = options
  const { id, name, publicKey, tls } = identity
  const carry = createWires({ dial, source, refusal: (host, port) => refusal(host, port, { test }) })
  return {
    name: 'gossip',
    logic: gossipMachine.provide({ actors: { carry } }),
    input: (signal: AbortSignal): GossipInput => {
      const lastSeq = store.data.seq
      keepSeq(store, lastSeq + 1)
      const start = {
        id,
        key: publicKey.split(' ', 2).join(' '),
        words: {
          name: name.slice(0, 128),
          addresses: options.addresses().slice(0, 8),
          port: options.port(),
          version,
          customInformation: options.customInformation().slice(0, 2_048),
          capabilities: [],
        },
        lastSeq,
        meetings: options.known(),
        now: performance.now(),
        seed: randomBytes(4).readInt32LE(),
        ...(config && { config }),
      }
      return { start, tools: createGossipTools(tls.key), signal }
    },
    hears: ['gossip.met', 'gossip.reworded', 'node.stopping'],
  } as const
}

/** Stores a seq that is higher than the stored one. A disk that fails costs nothing: others remember the seq too. */
export function keepSeq(store: Store<GossipFile>, seq: number): void {
  if (seq > store.data.seq && seq <= SEQ_MAX) store.write({ ...store.data, seq }).catch(() => {})
}
