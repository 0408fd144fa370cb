import { networkInterfaces } from 'node:os'
import makeMdns, { type MulticastDNS } from 'multicast-dns'
import { DISCOVERY } from '../../protocol/defaults/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { isIPv6 } from '../../protocol/net/address.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import { rangeOf } from '../../protocol/net/ranges.ts'
import { announcement, endpointsIn, isServiceQuery, SERVICE } from '../../protocol/wire/discovery.ts'
import { isEngineBridge } from './engineBridge.ts'
import { createFoundFilter } from './foundLately.ts'
import { afterQuery, firstQuery, isQueryNeeded } from './querySchedule.ts'

export interface DiscoveryOptions {
  self: { id: NodeId; port: number }
  /**
   * Whether the node listens at an address of this machine. Only such addresses are announced, each on its own
   * interface.
   */
  isOwn?: (address: string) => boolean
  /** Whether gossip has a link. */
  isLinked?: () => boolean
  /**
   * Called with endpoints that a machine on the LAN announced. They are unverified and only fit for `table.addUnverified`.
   */
  onFound: (unverified: Endpoint[]) => void
  /** Called when mDNS does not work on an interface; the node runs without it. */
  onError?: (error: unknown) => void
}

/**
 * Finds the nodes of a LAN and lets them find this one, without internet access or configuration. Each interface has
 * its own socket, because without a default route the system would not know where to send. Returns the undo, which
 * sends a goodbye.
 */
export function startDiscovery(options: DiscoveryOptions): () => Promise<void> {
  const { self, isOwn = () => true, isLinked = () => false, onFound: found, onError = () => {} } = options
  const filterFound = createFoundFilter()
  const sockets = new Map<string, { mdns: MulticastDNS; hosts: () => string[]; stop: () => void }>()

  function open(address: string, name: string): void {
    // Interfaces get IPv6 addresses later than IPv4 ones.
    const hosts = () => [address, ...globalAddresses6(name)].filter(isOwn)
    const mdns = makeMdns({ interface: address, bind: '0.0.0.0' })
    let answeredAt = Number.NEGATIVE_INFINITY
    let answering: NodeJS.Timeout | undefined
    let asking: NodeJS.Timeout | undefined
    let schedule = firstQuery
    const sendQuery = () => {
      if (!isQueryNeeded(schedule, performance.now(), isLinked())) return later()
      mdns.query(SERVICE, 'PTR')
      asked()
    }
    const asked = () => {
      schedule = afterQuery(schedule, performance.now())
      later()
    }
    const later = () => {
      clearTimeout(asking)
      // The random part lets one node ask first, for all others on the LAN.
      asking = setTimeout(sendQuery, schedule.intervalMs * (1 + Math.random() / 4))
    }
    const answer = () => {
      answering = undefined
      if (sockets.get(address)?.mdns !== mdns) return
      answeredAt = performance.now()
      mdns.respond(announcement(self.id, self.port, hosts()))
    }
    mdns.on('error', (error) => {
      close(address)
      onError(error)
    })
    mdns.on('warning', () => {
      // Packets that are not DNS, and sends while an interface goes down, are ignored.
    })
    mdns.on('query', ({ questions }) => {
      if (!isServiceQuery(questions)) return
      asked()
      if (answering) return
      // An answer reaches everybody on the LAN, so queries within one second share the next one.
      answering = setTimeout(answer, Math.max(0, answeredAt + DISCOVERY.minAnswerIntervalMs - performance.now()))
    })
    mdns.on('response', (packet) => {
      const unverified = filterFound(endpointsIn(packet, self.id))
      if (unverified.length > 0) found(unverified)
    })
    mdns.on('ready', () => {
      answer()
      sendQuery()
    })
    const stop = () => {
      clearTimeout(asking)
      clearTimeout(answering)
    }
    sockets.set(address, { mdns, hosts, stop })
  }

  function close(address: string): void {
    const socket = sockets.get(address)
    socket?.stop()
    socket?.mdns.destroy()
    sockets.delete(address)
  }

  function syncInterfaces(): void {
    const present = addresses4()
    for (const address of sockets.keys()) if (!present.has(address)) close(address)
    for (const [address, name] of present) if (isOwn(address) && !sockets.has(address)) open(address, name)
  }

  syncInterfaces()
  const timer = setInterval(syncInterfaces, DISCOVERY.interfacesIntervalMs)
  return async () => {
    clearInterval(timer)
    for (const { stop } of sockets.values()) stop()
    const goodbyes = [...sockets.values()].map(
      ({ mdns, hosts }) =>
        new Promise<void>((resolve) => {
          mdns.respond(announcement(self.id, self.port, hosts(), true), () => mdns.destroy(() => resolve()))
        }),
    )
    sockets.clear()
    await Promise.all(goodbyes)
  }
}

function addresses4(): Map<string, string> {
  const found = new Map<string, string>()
  for (const [name, list] of Object.entries(networkInterfaces())) {
    // A container has no node of its own, and all nodes of this machine would find each other at the bridge's address.
    if (isEngineBridge(name)) continue
    for (const { address, family, internal } of list ?? []) if (family === 'IPv4' && !internal) found.set(address, name)
  }
  return found
}

function globalAddresses6(name: string): string[] {
  const list = networkInterfaces()[name] ?? []
  return list.map(({ address }) => address).filter((address) => isIPv6(address) && rangeOf(address) !== 'linkLocal')
}
