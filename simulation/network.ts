import { type DecodeFailure, decode, encode, WIRE_MAX_BYTES, type WireMessage } from '../protocol/wire/gossip.ts'
import type { NatWorld } from './nat.ts'

export interface NetworkConditions {
  /** One-way delay in milliseconds, drawn uniformly from this range. */
  delay: readonly [min: number, max: number]
  /** Probabilities for each message, from 0 to 1. */
  loss: number
  duplicate: number
  reorder: number
}

export type NetworkEvent =
  | { type: 'opened'; link: string; from: number; dialled: boolean; address: string }
  | { type: 'closed'; link: string }
  | { type: 'failed'; link: string; refused: boolean }
  | { type: 'received'; link: string; message: WireMessage }
  | { type: 'protocolError'; link: string }

interface Socket {
  host: number
  incarnation: number
  link: string
  open: boolean
  arrivesAt: number
}

/** An encoded message. One that goes to several peers is encoded once and decoded once, because nobody mutates it. */
interface Packet {
  readonly text: string
  readonly message: WireMessage
  decoded: WireMessage | DecodeFailure | undefined
}

/** Bytes that a mutual TLS handshake and a WebSocket upgrade cost each end. */
export const HANDSHAKE_BYTES = 1_600

/** Bytes of WebSocket and TLS framing for each message. */
export const FRAME_BYTES = 30

/** TCP retransmits a lost SYN after one second, then after two, then after four. */
const SYN_RETRANSMIT_MS = 1_000

export interface Clock {
  readonly now: number
  /** Schedules `run`. Callbacks run in order of time, and those of one time in the order in which they were scheduled. */
  at(time: number, run: () => void): void
}

/** A discrete event queue (a binary heap): the clock jumps from one scheduled callback to the next. */
export function createEventQueue(): Clock & { runUntil(time: number): void } {
  interface Scheduled {
    time: number
    sequence: number
    run: () => void
  }
  const heap: Scheduled[] = []
  let scheduled = 0
  let now = 0

  const before = (a: Scheduled, b: Scheduled) => a.time < b.time || (a.time === b.time && a.sequence < b.sequence)

  function siftUp(entry: Scheduled): void {
    let at = heap.length
    heap.push(entry)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above] as Scheduled
      if (!before(entry, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = entry
  }

  function siftDown(entry: Scheduled): void {
    let at = 0
    for (;;) {
      let least = at * 2 + 1
      if (least >= heap.length) break
      if (least + 1 < heap.length && before(heap[least + 1] as Scheduled, heap[least] as Scheduled)) least += 1
      const child = heap[least] as Scheduled
      if (!before(child, entry)) break
      heap[at] = child
      at = least
    }
    heap[at] = entry
  }

  return {
    get now() {
      return now
    },
    at(time, run) {
      siftUp({ time: Math.max(time, now), sequence: scheduled, run })
      scheduled += 1
    },
    runUntil(until) {
      for (let first = heap[0]; first && first.time <= until; first = heap[0]) {
        const last = heap.pop() as Scheduled
        if (heap.length > 0) siftDown(last)
        now = first.time
        first.run()
      }
      now = until
    },
  }
}

/**
 * An in-memory network on a simulated clock. It encodes every message and counts its bytes. It can drop, delay, duplicate
 * and reorder messages, partition the hosts, stop a process (its machine then refuses connections and resets open ones)
 * and power a machine off (nothing answers). Routers let a host behind them dial out and nobody dial in, and hosts behind one
 * router dial each other. Its links drop single messages, which a WebSocket never does: the simulated
 * network is harsher than a real one.
 */
export interface Network {
  networkConditions: NetworkConditions
  /** Bytes and messages sent, by host. */
  readonly bytes: Float64Array
  readonly messages: Float64Array
  /** Payload bytes by kind, over all hosts. */
  readonly byKind: Map<string, { count: number; bytes: number }>
  /** Characters of the largest message sent. */
  readonly largest: number
  /** Dials the first address that means a host from here. With another host than `expected` it fails. */
  dial(host: number, link: string, addresses: readonly string[], timeoutMs: number, expected?: number): void
  send(host: number, link: string, message: WireMessage): void
  close(host: number, link: string): void
  start(host: number): void
  /** Ends the process; its machine resets its connections and refuses new ones. */
  stop(host: number): void
  /** Powers the machine off: it neither resets nor answers anything until `start`. */
  powerOff(host: number): void
  /** From now on, hosts of different groups do not reach each other. */
  partition(groupOf: (host: number) => number): void
  /** Ends the partition. */
  heal(): void
}

interface Settings {
  hosts: number
  clock: Clock
  networkConditions: NetworkConditions
  random: () => number
  nat: NatWorld
  /** Called with each event of a running process; `text` is what was on the wire. */
  onEvent: (host: number, event: NetworkEvent, text: string) => void
}

export function createNetwork({ hosts, clock, networkConditions, random, nat, onEvent }: Settings): Network {
  const { routerOf, addressOf, observedAddress } = nat
  const placeOf = (router: number | undefined, address: string) => `${router ?? 'public'} ${address}`
  const hostAt = new Map(Array.from({ length: hosts }, (_, host) => [placeOf(routerOf(host), addressOf(host)), host]))
  const hostAtFrom = (host: number, address: string) =>
    hostAt.get(placeOf(routerOf(host), address)) ?? hostAt.get(placeOf(undefined, address))
  const running = new Array<boolean>(hosts).fill(false)
  const poweredOff = new Array<boolean>(hosts).fill(false)
  const incarnations = new Array<number>(hosts).fill(0)
  const sockets = Array.from({ length: hosts }, () => new Map<string, { local: Socket; remote: Socket }>())
  const bytes = new Float64Array(hosts)
  const messages = new Float64Array(hosts)
  const byKind = new Map<string, { count: number; bytes: number }>()
  let groupOf: ((host: number) => number) | undefined
  let accepted = 0
  let largest = 0
  let latest: Packet | undefined

  const reaches = (from: number, to: number) => !groupOf || groupOf(from) === groupOf(to)
  const delay = () => {
    const [from, to] = network.networkConditions.delay
    return from + random() * (to - from)
  }
  const hasProcess = (socket: Socket) =>
    running[socket.host] === true && incarnations[socket.host] === socket.incarnation

  /** The remote machine knows no such connection, so it sends a TCP reset if the network lets it. */
  function sendReset(socket: Socket): void {
    clock.at(clock.now + delay(), () => {
      if (!socket.open || !hasProcess(socket)) return
      socket.open = false
      sockets[socket.host]?.delete(socket.link)
      onEvent(socket.host, { type: 'closed', link: socket.link }, '')
    })
  }

  function deliver(local: Socket, remote: Socket, packet: Packet): void {
    const { networkConditions } = network
    if (random() < networkConditions.loss) return
    deliverOnce(local, remote, packet)
    if (networkConditions.duplicate > 0 && random() < networkConditions.duplicate) deliverOnce(local, remote, packet)
  }

  function deliverOnce(local: Socket, remote: Socket, packet: Packet): void {
    let time = clock.now + delay()
    if (random() >= network.networkConditions.reorder) {
      time = Math.max(time, remote.arrivesAt)
      remote.arrivesAt = time
    }
    clock.at(time, () => {
      if (!reaches(local.host, remote.host) || poweredOff[remote.host]) return
      if (!remote.open || !hasProcess(remote)) {
        sendReset(local)
        return
      }
      packet.decoded ??= decode(packet.text)
      const { decoded, text } = packet
      if (typeof decoded !== 'string')
        onEvent(remote.host, { type: 'received', link: remote.link, message: decoded }, text)
      else if (decoded !== 'unknown') onEvent(remote.host, { type: 'protocolError', link: remote.link }, text)
    })
  }

  const network: Network = {
    networkConditions,
    bytes,
    messages,
    byKind,
    get largest() {
      return largest
    },
    dial(host, link, addresses, timeoutMs, expected) {
      const incarnation = incarnations[host] as number
      const fail = (after: number, refused: boolean) =>
        clock.at(clock.now + after, () => {
          if (running[host] && incarnations[host] === incarnation) onEvent(host, { type: 'failed', link, refused }, '')
        })
      const target = addresses.map((address) => hostAtFrom(host, address)).find((at) => at !== undefined)
      const retransmits = [0, 1, 3, 7].find(() => random() >= network.networkConditions.loss)
      const wait = (retransmits ?? 99) * SYN_RETRANSMIT_MS + 3 * delay()
      if (target === undefined || !reaches(host, target) || poweredOff[target] || wait > timeoutMs) {
        fail(timeoutMs, false)
        return
      }
      if (!running[target] || (expected !== undefined && expected !== target)) {
        fail(2 * delay(), !running[target])
        return
      }
      bytes[host] = (bytes[host] as number) + HANDSHAKE_BYTES
      bytes[target] = (bytes[target] as number) + HANDSHAKE_BYTES
      clock.at(clock.now + wait, () => {
        if (!reaches(host, target) || poweredOff[target]) {
          fail(timeoutMs - wait, false)
          return
        }
        if (!running[target]) {
          fail(delay(), true)
          return
        }
        if (!running[host] || incarnations[host] !== incarnation) return
        accepted += 1
        const local: Socket = { host, incarnation, link, open: true, arrivesAt: 0 }
        const remote: Socket = {
          host: target,
          incarnation: incarnations[target] as number,
          link: `a${accepted}`,
          open: true,
          arrivesAt: 0,
        }
        local.arrivesAt = clock.now + delay()
        sockets[host]?.set(link, { local, remote })
        sockets[target]?.set(remote.link, { local: remote, remote: local })
        clock.at(local.arrivesAt, () => {
          if (!hasProcess(local)) return
          if (!local.open) onEvent(host, { type: 'failed', link, refused: false }, '')
          else onEvent(host, { type: 'opened', link, from: target, dialled: true, address: addressOf(target) }, '')
        })
        onEvent(
          target,
          { type: 'opened', link: remote.link, from: host, dialled: false, address: observedAddress(host, target) },
          '',
        )
      })
    },
    send(host, link, message) {
      if (latest?.message !== message) latest = { text: encode(message), message, decoded: undefined }
      const counts = byKind.get(message.kind) ?? { count: 0, bytes: 0 }
      counts.count += 1
      counts.bytes += latest.text.length
      byKind.set(message.kind, counts)
      const connection = sockets[host]?.get(link)
      const { length } = latest.text
      largest = Math.max(largest, length)
      if (length > WIRE_MAX_BYTES) throw new Error(`a ${message.kind} message has ${length} characters`)
      bytes[host] = (bytes[host] as number) + length + FRAME_BYTES
      messages[host] = (messages[host] as number) + 1
      if (connection?.local.open) deliver(connection.local, connection.remote, latest)
    },
    close(host, link) {
      const connection = sockets[host]?.get(link)
      if (!connection) return
      connection.local.open = false
      sockets[host]?.delete(link)
      const { remote } = connection
      // The close arrives after everything that was sent before it, as with TCP.
      clock.at(Math.max(clock.now + delay(), remote.arrivesAt), () => {
        if (!remote.open || !hasProcess(remote) || !reaches(host, remote.host) || poweredOff[remote.host]) return
        remote.open = false
        sockets[remote.host]?.delete(remote.link)
        onEvent(remote.host, { type: 'closed', link: remote.link }, '')
      })
    },
    start(host) {
      running[host] = true
      poweredOff[host] = false
      incarnations[host] = (incarnations[host] as number) + 1
      sockets[host]?.clear()
    },
    stop(host) {
      running[host] = false
      const links = [...(sockets[host]?.values() ?? [])]
      sockets[host]?.clear()
      for (const { local, remote } of links) {
        local.open = false
        if (reaches(host, remote.host)) sendReset(remote)
      }
    },
    powerOff(host) {
      running[host] = false
      poweredOff[host] = true
      for (const { local } of sockets[host]?.values() ?? []) local.open = false
      sockets[host]?.clear()
    },
    partition(group) {
      groupOf = group
    },
    heal() {
      groupOf = undefined
    },
  }
  return network
}
