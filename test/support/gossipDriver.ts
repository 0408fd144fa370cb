import { generateKeyPairSync } from 'node:crypto'
import { createGossipTools } from '../../actors/gossip/recordSignature.ts'
import { ed25519Line, parsePublicKey } from '../../actors/identity/sshPublicKey.ts'
import {
  type GossipConfig,
  type GossipEffect,
  type GossipEvent,
  type GossipState,
  startGossip,
  type Tools,
} from '../../machines/gossip/gossipState.ts'
import { stepGossip } from '../../machines/gossip/gossipStep.ts'
import { getEntry } from '../../machines/gossip/shardedMap.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { WireBody, WireKind, WireMessage } from '../../protocol/wire/gossip.ts'
import { type NodeRecord, type SignedRecord, shortOf, signRecord } from '../../protocol/wire/record.ts'

/** One node with a real key whose step a test drives by hand. Each step runs on frozen states, so a change in place throws. */
export interface GossipDriver {
  readonly id: NodeId
  readonly key: string
  readonly tools: Tools
  state: GossipState
  now: number
  /** Everything it did, oldest first. */
  readonly effects: GossipEffect[]
  do(event: Untimed, afterMs?: number): GossipEffect[]
  /** Lets time pass, with every tick that is due. */
  wait(ms: number): GossipEffect[]
  /** A record of its own key with other fields or another seq, genuinely signed. */
  record(change?: Partial<NodeRecord>): SignedRecord
}

type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

let made = 0

export function makeGossipDriver(config: Partial<GossipConfig> = {}, address?: string): GossipDriver {
  made += 1
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const key = ed25519Line(point)
  const id = parsePublicKey(key).fingerprint as NodeId
  const tools = createGossipTools(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
  const fields = {
    name: `node${made}`,
    addresses: [address ?? `20.${made >> 8}.${made & 255}.1:8088`],
    port: 8088,
    version: '0.1.0',
    customInformation: '',
    capabilities: [],
  }
  const driver: GossipDriver = {
    id,
    key,
    tools,
    state: freeze(
      startGossip({ id, key, fields, lastSeq: 0, bootstrapAddresses: [], now: 1_000, seed: made, config }, tools),
    ),
    now: 1_000,
    effects: [],
    do(event, afterMs = 0) {
      driver.now += afterMs
      const { state, effects } = stepGossip(driver.state, { ...event, at: driver.now } as GossipEvent, tools)
      driver.state = freeze(state)
      driver.effects.push(...effects)
      return [...effects]
    },
    wait(ms) {
      const until = driver.now + ms
      const done: GossipEffect[] = []
      while (driver.state.dueAt <= until) {
        driver.now = Math.max(driver.now, driver.state.dueAt)
        done.push(...driver.do({ type: 'tick' }))
      }
      driver.now = until
      return done
    },
    record: (change = {}) => signRecord({ ...driver.state.self.record, ...change }, tools.sign),
  }
  return driver
}

/** Links `other` to `one`, which dialled or accepted it, greeting included. Accepted ones last. Returns the link. */
export function link(one: GossipDriver, other: GossipDriver, signed = other.record(), dialled = false): string {
  const id = `a${other.id.slice(7, 13)}`
  one.do({ type: 'opened', link: id, id: other.id, dialled, address: '' })
  const record: [string, string] = [signed.text, signed.signature]
  const root = other.tools.digest.root(other.state.members)
  receive(one, id, 'link/hello', { record, root, active: true, links: 0 })
  return id
}

export function receive<K extends WireKind>(
  node: GossipDriver,
  on: string,
  kind: K,
  body: WireBody<K>,
): GossipEffect[] {
  return node.do({ type: 'received', link: on, message: { kind, body } as WireMessage })
}

/** The bodies of all messages of one kind in `effects`. */
export function sent<K extends WireKind>(effects: readonly GossipEffect[], kind: K, on?: string): WireBody<K>[] {
  return effects.flatMap((effect) =>
    effect.type === 'send' && effect.message.kind === kind && (on === undefined || effect.link === on)
      ? [effect.message.body as WireBody<K>]
      : [],
  )
}

export function emittedFacts(effects: readonly GossipEffect[]): GossipEmits[] {
  return effects.flatMap((effect) => (effect.type === 'emit' ? [effect.fact] : []))
}

export function seqAt(node: GossipDriver, id: NodeId): number | undefined {
  return getEntry(node.state.members, shortOf(id))?.record.seq
}

/** Frozen as deep as it goes; maps too, whose changing methods then throw. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) {
    const refuse = () => {
      throw new TypeError('a state was changed in place')
    }
    Object.assign(value, { set: refuse, delete: refuse, clear: refuse })
    for (const entry of value.values()) freeze(entry)
  }
  Object.freeze(value)
  for (const entry of Object.values(value)) freeze(entry)
  return value
}
