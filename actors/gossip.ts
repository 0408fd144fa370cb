import { randomBytes } from 'node:crypto'
import { fromCallback } from 'xstate'
import type { GossipStart } from '../machines/gossip/gossipState.ts'
import {
  type FromPersist,
  type FromStepper,
  gossipMachine,
  type StepperInput,
  type ToStepper,
} from '../machines/gossip.ts'
import { version } from '../package.json'
import { toFailure } from '../protocol/errors.ts'
import type { GossipFile } from '../protocol/files/gossip.ts'
import { formatEndpoint } from '../protocol/net/endpoint.ts'
import { machineOf, SEQ_MAX } from '../protocol/wire/record.ts'
import { createGossipTools } from './gossip/recordSignature.ts'
import { createStepper } from './gossip/stepper.ts'
import type { TransportOptions } from './gossip/transport.ts'
import { readHardware } from './hardware.ts'
import type { Identity } from './identity.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export { type GossipListener, openGossipListener } from './gossip/accept.ts'

export interface GossipOptions {
  identity: Pick<Identity, 'id' | 'name' | 'publicKey' | 'tls'>
  store: Store<GossipFile>
  /** Without it the concern has no links, as for a single command. A new text then spreads when the node runs. */
  links?: TransportOptions
  config?: GossipStart['config']
  /** What the own record says that this node offers. */
  capabilities?: readonly string[]
}

/**
 * Creates the gossip concern, which runs over WebSockets and mutual TLS. The addresses of this node, its hardware and the
 * bootstrap addresses are facts of other concerns: each start begins with the latest of them and accepts later ones.
 */
export function createGossip(options: GossipOptions): ConcernParts<typeof gossipMachine> {
  const { identity, store, links, config, capabilities = [] } = options
  const { id, name, publicKey, tls } = identity
  const persist = fromCallback<{ type: 'none' }, { requestId: string; text: string }, FromPersist>(
    ({ input, sendBack }) => {
      store
        .update((data) => ({ ...data, customInformation: input.text }))
        .then(
          () => sendBack({ type: 'persist.ended', ...input }),
          (error) => sendBack({ type: 'persist.ended', ...input, failure: toFailure(error) }),
        )
    },
  )
  const online = links && {
    stepper: createStepper(links),
    seqStore: fromCallback<{ type: 'signed'; seq: number }>(({ receive }) =>
      receive(({ seq }) => persistSeq(store, seq)),
    ),
  }
  const noStepper = fromCallback<ToStepper, StepperInput, FromStepper>(() => {})
  return {
    name: 'gossip',
    logic: gossipMachine.provide({ actors: { stepper: noStepper, ...online, persist } }),
    input: (signal, retained) => {
      const { endpoints = [], port = 0 } = retained['table.selfAddressesChanged'] ?? {}
      const specs = retained['specs.changed']?.specs
      const start = {
        id,
        key: publicKey.split(' ', 2).join(' '),
        fields: {
          name: name.slice(0, 128).toWellFormed(),
          endpoints: endpoints.map(formatEndpoint),
          machine: machineOf(specs ?? readHardware()),
          port,
          version,
          customInformation: store.data.customInformation,
          capabilities: [...capabilities],
        },
        // The file may lag behind the seq that a crashed run has signed.
        lastSeq: Math.max(store.data.seq, retained['record.ownSigned']?.record.seq ?? 0),
        bootstrapAddresses: [],
        trusted: retained['trust.changed']?.trusted ?? [],
        now: performance.now(),
        seed: randomBytes(4).readInt32LE(),
        ...(config && { config }),
      }
      return { start, tools: createGossipTools(tls.key), signal }
    },
    retains: ['table.selfAddressesChanged', 'specs.changed', 'record.ownSigned', 'trust.changed'],
  }
}

/** Stores the seq. A failure is ignored, because other nodes return a higher seq. */
function persistSeq(store: Store<GossipFile>, seq: number): void {
  if (seq <= SEQ_MAX) store.update((data) => ({ ...data, seq: Math.max(seq, data.seq) })).catch(() => {})
}
