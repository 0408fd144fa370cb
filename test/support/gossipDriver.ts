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

/** A node with a real key whose step a test drives. States are deeply frozen, so a step that mutates its input throws. */
export interface GossipDriver {
  readonly id: NodeId
  readonly key: string
  readonly tools: Tools
  state: GossipState
  now: number
  /** All effects so far, oldest first. */
  readonly effects: GossipEffect[]
  do(event: Untimed, afterMs?: number): GossipEffect[]
  /** Advances the time and sends every tick that is due. */
  wait(ms: number): GossipEffect[]
  /** Signs a variant of the node's own record. */
  record(change?: Partial<NodeRecord>): SignedRecord
}

type Untimed = GossipEvent extends infer E ? (E extends GossipEvent ? Omit<E, 'at'> : never) : never

let made = 0

/** `address` is that of its record; an empty one stands for none. */
export function makeGossipDriver(config: Partial<GossipConfig> = {}, address?: string): GossipDriver {
  made += 1
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const point = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url')
  const key = ed25519Line(point)
  const id = parsePublicKey(key).fingerprint as NodeId
  const tools = createGossipTools(privateKey.export({ format: 'pem', type: 'pkcs8' }).toString())
  const fields = {
    name: `node${made}`,
    endpoints: address === '' ? [] : [address ?? `20.${made >> 8}.${made & 255}.1:8088`],
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

/** Opens a link from `one` to `other` and completes the handshake, so that it is active. Returns the id of the link. */
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

/** Returns the bodies of all messages of one kind in `effects`, or of those on one link. */
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

export const pair = ({ text, signature }: SignedRecord): [string, string] => [text, signature]

/** A node with active links to some others. */
export function connectedNode(
  count: number,
  config = {},
): { node: GossipDriver; others: GossipDriver[]; links: string[] } {
  const node = makeGossipDriver(config)
  const others = Array.from({ length: count }, () => makeGossipDriver())
  return { node, others, links: others.map((other) => link(node, other)) }
}

export const isMember = (node: GossipDriver, other: GossipDriver) => seqAt(node, other.id) !== undefined

/** Answers the pings in `effects` on the given links, and the indirect probes with `truth`. */
export function answer(
  node: GossipDriver,
  effects: Parameters<typeof sent>[0],
  links: readonly string[],
  truth = true,
): void {
  const root = node.tools.digest.root(node.state.members)
  for (const on of links) {
    for (const { nonce } of sent(effects, 'probe/ping', on))
      receive(node, on, 'probe/ack', { nonce, root, active: true })
    for (const { nonce } of sent(effects, 'probe/request', on))
      receive(node, on, 'probe/report', { nonce, alive: truth })
  }
}

/** Freezes a value deeply. The mutating methods of its maps throw. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  if (value instanceof Map) {
    const refuse = () => {
      throw new TypeError('a state was mutated')
    }
    Object.assign(value, { set: refuse, delete: refuse, clear: refuse })
    for (const entry of value.values()) freeze(entry)
  }
  Object.freeze(value)
  for (const entry of Object.values(value)) freeze(entry)
  return value
}
