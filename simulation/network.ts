import { decode, encode, type Unreadable, WIRE_MAX_BYTES, type WireMessage } from '../protocol/wire/gossip.ts'

/**
 * A network in memory, on a clock of its own. It encodes every message and counts its bytes, and it can lose, delay,
 * double and reorder them, cut hosts off from each other, stop a process (its machine then refuses and resets) and switch
 * a machine off (nothing answers). Links lose messages here, which a WebSocket never does: a harder world than the real.
 */

export interface NetworkConditions {
  /** Milliseconds one way, from and to. */
  delay: readonly [number, number]
  /** Shares of messages from 0 to 1. */
  loss: number
  double: number
  reorder: number
}

export type Arrival =
  | { type: 'opened'; link: string; from: number; dialled: boolean; address: string }
  | { type: 'closed'; link: string }
  | { type: 'failed'; link: string; refused: boolean }
  | { type: 'received'; link: string; message: WireMessage }
  | { type: 'protocolError'; link: string }

interface End {
  host: number
  life: number
  link: string
  open: boolean
  arrivesAt: number
}

/** What is on the wire. One message to several peers is encoded once and read once: what was read is never changed. */
interface Packet {
  readonly text: string
  readonly written: WireMessage | undefined
  read: WireMessage | Unreadable | undefined
}

/** What a TLS handshake with two client certificates and a WebSocket upgrade cost each side, in bytes on the wire. */
export const HANDSHAKE_BYTES = 1_600

/** WebSocket and TLS framing of one message. */
export const FRAME_BYTES = 30

/** A lost SYN is sent again after a second, then two, then four. */
const SYN_AGAIN_MS = 1_000

/** Runs what is due, in order of time, then of asking. */
export interface Clock {
  readonly now: number
  at(time: number, run: () => void): void
}

/** An event queue: the clock jumps to what comes next. */
export function createQueue(): Clock & { runUntil(time: number): void } {
  interface Due {
    time: number
    number: number
    run: () => void
  }
  const heap: Due[] = []
  let asked = 0
  let now = 0

  const before = (one: Due, other: Due) =>
    one.time < other.time || (one.time === other.time && one.number < other.number)

  function rise(due: Due): void {
    let at = heap.length
    heap.push(due)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above] as Due
      if (!before(due, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = due
  }

  function sink(due: Due): void {
    let at = 0
    for (;;) {
      let least = at * 2 + 1
      if (least >= heap.length) break
      if (least + 1 < heap.length && before(heap[least + 1] as Due, heap[least] as Due)) least += 1
      const child = heap[least] as Due
      if (!before(child, due)) break
      heap[at] = child
      at = least
    }
    heap[at] = due
  }

  return {
    get now() {
      return now
    },
    at(time, run) {
      rise({ time: Math.max(time, now), number: asked, run })
      asked += 1
    },
    runUntil(until) {
      for (let first = heap[0]; first && first.time <= until; first = heap[0]) {
        const last = heap.pop() as Due
        if (heap.length > 0) sink(last)
        now = first.time
        first.run()
      }
      now = until
    },
  }
}

export interface Network {
  networkConditions: NetworkConditions
  /** Bytes and messages sent, by host. */
  readonly bytes: Float64Array
  readonly messages: Float64Array
  /** Payload bytes by kind, over all hosts. */
  readonly byKind: Map<string, { count: number; bytes: number }>
  readonly largest: number
  dial(host: number, link: string, addresses: readonly string[], timeoutMs: number): void
  send(host: number, link: string, message: WireMessage): void
  /** Text that no node of ours would write, as a hostile peer sends it. */
  sendText(host: number, link: string, text: string): void
  close(host: number, link: string): void
  /** The process starts, or ends: its links are reset. */
  start(host: number): void
  stop(host: number): void
  /** The machine goes dark: no reset, no answer, until `start`. */
  vanish(host: number): void
  /** Hosts in different groups do not reach each other; undefined heals. */
  cut(groupOf?: (host: number) => number): void
}

interface Settings {
  hosts: number
  clock: Clock
  networkConditions: NetworkConditions
  random: () => number
  addressOf: (host: number) => string
  /** Called when something has come to a process that runs; the text is what was on the wire. */
  arrive: (host: number, arrival: Arrival, text: string) => void
}

export function createNetwork({ hosts, clock, networkConditions, random, addressOf, arrive }: Settings): Network {
  const hostAt = new Map(Array.from({ length: hosts }, (_, host) => [addressOf(host), host]))
  const running = new Array<boolean>(hosts).fill(false)
  const dark = new Array<boolean>(hosts).fill(false)
  const lives = new Array<number>(hosts).fill(0)
  const ends = Array.from({ length: hosts }, () => new Map<string, { own: End; other: End }>())
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
  const isAlive = (end: End) => running[end.host] === true && lives[end.host] === end.life

  /** The other end's machine knows no such connection: it resets it, where it can. */
  function reset(end: End): void {
    clock.at(clock.now + delay(), () => {
      if (!end.open || !isAlive(end)) return
      end.open = false
      ends[end.host]?.delete(end.link)
      arrive(end.host, { type: 'closed', link: end.link }, '')
    })
  }

  function deliver(own: End, other: End, packet: Packet): void {
    const { networkConditions } = network
    if (random() < networkConditions.loss) return
    arriveOnce(own, other, packet)
    if (networkConditions.double > 0 && random() < networkConditions.double) arriveOnce(own, other, packet)
  }

  function arriveOnce(own: End, other: End, packet: Packet): void {
    let time = clock.now + delay()
    if (random() >= network.networkConditions.reorder) {
      time = Math.max(time, other.arrivesAt)
      other.arrivesAt = time
    }
    clock.at(time, () => {
      if (!reaches(own.host, other.host) || dark[other.host]) return
      if (!other.open || !isAlive(other)) {
        reset(own)
        return
      }
      packet.read ??= decode(packet.text)
      const { read, text } = packet
      if (typeof read !== 'string') arrive(other.host, { type: 'received', link: other.link, message: read }, text)
      else if (read !== 'unknown') arrive(other.host, { type: 'protocolError', link: other.link }, text)
    })
  }

  function put(host: number, link: string, packet: Packet): void {
    const connection = ends[host]?.get(link)
    const { length } = packet.text
    largest = Math.max(largest, length)
    if (length > WIRE_MAX_BYTES) throw new Error(`a message of ${length} characters`)
    bytes[host] = (bytes[host] as number) + length + FRAME_BYTES
    messages[host] = (messages[host] as number) + 1
    if (connection?.own.open) deliver(connection.own, connection.other, packet)
  }

  const network: Network = {
    networkConditions,
    bytes,
    messages,
    byKind,
    get largest() {
      return largest
    },
    dial(host, link, addresses, timeoutMs) {
      const life = lives[host] as number
      const fail = (after: number, refused: boolean) =>
        clock.at(clock.now + after, () => {
          if (running[host] && lives[host] === life) arrive(host, { type: 'failed', link, refused }, '')
        })
      const target = addresses.map((address) => hostAt.get(address)).find((at) => at !== undefined)
      const again = [0, 1, 3, 7].find(() => random() >= network.networkConditions.loss)
      const wait = (again ?? 99) * SYN_AGAIN_MS + 3 * delay()
      if (target === undefined || !reaches(host, target) || dark[target] || wait > timeoutMs) {
        fail(timeoutMs, false)
        return
      }
      if (!running[target]) {
        fail(2 * delay(), true)
        return
      }
      bytes[host] = (bytes[host] as number) + HANDSHAKE_BYTES
      bytes[target] = (bytes[target] as number) + HANDSHAKE_BYTES
      clock.at(clock.now + wait, () => {
        if (!reaches(host, target) || dark[target]) {
          fail(timeoutMs - wait, false)
          return
        }
        if (!running[target]) {
          fail(delay(), true)
          return
        }
        if (!running[host] || lives[host] !== life) return
        accepted += 1
        const own: End = { host, life, link, open: true, arrivesAt: 0 }
        const other: End = {
          host: target,
          life: lives[target] as number,
          link: `a${accepted}`,
          open: true,
          arrivesAt: 0,
        }
        own.arrivesAt = clock.now + delay()
        ends[host]?.set(link, { own, other })
        ends[target]?.set(other.link, { own: other, other: own })
        clock.at(own.arrivesAt, () => {
          if (!isAlive(own)) return
          if (!own.open) arrive(host, { type: 'failed', link, refused: false }, '')
          else arrive(host, { type: 'opened', link, from: target, dialled: true, address: addressOf(target) }, '')
        })
        arrive(target, { type: 'opened', link: other.link, from: host, dialled: false, address: addressOf(host) }, '')
      })
    },
    send(host, link, message) {
      if (latest?.written !== message) latest = { text: encode(message), written: message, read: undefined }
      const tally = byKind.get(message.kind) ?? { count: 0, bytes: 0 }
      tally.count += 1
      tally.bytes += latest.text.length
      byKind.set(message.kind, tally)
      put(host, link, latest)
    },
    sendText(host, link, text) {
      put(host, link, { text, written: undefined, read: undefined })
    },
    close(host, link) {
      const connection = ends[host]?.get(link)
      if (!connection) return
      connection.own.open = false
      ends[host]?.delete(link)
      const { other } = connection
      // After what was sent before it, as TCP does.
      clock.at(Math.max(clock.now + delay(), other.arrivesAt), () => {
        if (!other.open || !isAlive(other) || !reaches(host, other.host) || dark[other.host]) return
        other.open = false
        ends[other.host]?.delete(other.link)
        arrive(other.host, { type: 'closed', link: other.link }, '')
      })
    },
    start(host) {
      running[host] = true
      dark[host] = false
      lives[host] = (lives[host] as number) + 1
      ends[host]?.clear()
    },
    stop(host) {
      running[host] = false
      const links = [...(ends[host]?.values() ?? [])]
      ends[host]?.clear()
      for (const { own, other } of links) {
        own.open = false
        if (reaches(host, other.host)) reset(other)
      }
    },
    vanish(host) {
      running[host] = false
      dark[host] = true
      for (const { own } of ends[host]?.values() ?? []) own.open = false
      ends[host]?.clear()
    },
    cut(group) {
      groupOf = group
    },
  }
  return network
}
