import { randomUUID } from 'node:crypto'
import { networkInterfaces } from 'node:os'
import { isDeepStrictEqual } from 'node:util'
import type { Bus } from '../../protocol/bus.ts'
import { ADDRESSES_INTERVAL_MS } from '../../protocol/defaults/ipTable.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { isLoopback, parseAddress } from '../../protocol/net/address.ts'
import { rangeOf } from '../../protocol/net/ranges.ts'
import { startDiscovery } from './discovery.ts'
import { isEngineBridge } from './engineBridge.ts'

/** The addresses on which a node listens. */
export interface ListenAddresses {
  port: number
  /** Empty until the listeners are open, and for a process that listens nowhere. */
  hosts: readonly string[]
  /** Where domains are shown; absent if nowhere. */
  proxyPort?: number
}

/** Returns the hosts of listener addresses such as `[::]:8088`. */
export function hostsOf(addresses: readonly string[]): string[] {
  return addresses.map((address) => parseAddress(address).host)
}

/**
 * Returns the addresses at which this machine serves the node: those on which it listens, or all that it currently
 * has.
 */
export function ownAddresses({ hosts }: ListenAddresses): string[] {
  return isWildcard(hosts) ? interfaceAddresses() : [...hosts]
}

/** Returns an address at which this machine itself reaches the node. */
export function loopbackOf({ hosts }: ListenAddresses): string {
  return isWildcard(hosts) || hosts[0] === undefined ? 'localhost' : hosts[0]
}

/**
 * Returns the own addresses that may be advertised: not loopback, not link-local, and not the bridges of container
 * engines, which every lender has under the same address. With `test`, loopback addresses may be advertised too.
 */
export function advertisableAddresses({ hosts }: ListenAddresses, { test }: { test: boolean }): string[] {
  const own = isWildcard(hosts) ? interfaceAddresses((name) => !isEngineBridge(name)) : hosts
  const routable = own.filter((host) => !/^(loopback|linkLocal|unspecified)$/.test(rangeOf(host) ?? ''))
  return [...routable, ...(test ? own.filter(isLoopback) : [])]
}

/** Calls `onChange` when the result of `read` has changed, until the undo is called or `signal` aborts. */
export function watchAddresses<T>(read: () => T, onChange: (now: T) => void, signal: AbortSignal): () => void {
  let before = read()
  const timer = setInterval(() => {
    const now = read()
    if (isDeepStrictEqual(now, before)) return
    before = now
    onChange(now)
  }, ADDRESSES_INTERVAL_MS)
  const stop = () => clearInterval(timer)
  signal.addEventListener('abort', stop, { once: true })
  return stop
}

/**
 * Starts mDNS discovery if the node listens beyond loopback: a node that only its own machine can reach sends nothing.
 * Returns the undo.
 */
export function discover(listenAddresses: ListenAddresses, id: NodeId, bus: Bus<BusEvent>): () => Promise<void> {
  if (ownAddresses(listenAddresses).every(isLoopback)) return async () => {}
  const links = followLinks(bus)
  const stop = startDiscovery({
    self: { id, port: listenAddresses.port },
    isLinked: links.isLinked,
    isOwn: (address) => ownAddresses(listenAddresses).includes(address),
    onFound: (unverified) =>
      bus.publish({
        type: 'table.addUnverified',
        requestId: randomUUID(),
        caller: 'anonymous',
        unverified: unverified.map((endpoint) => ({ endpoint })),
        from: 'mDNS',
      }),
  })
  return () => {
    links.stop()
    return stop()
  }
}

/** Follows whether gossip has a link, from now on. */
export function followLinks(bus: Bus<BusEvent>): { isLinked: () => boolean; stop: () => void } {
  const links = new Set<string>()
  const undos = [
    bus.on('link.opened', ({ link }) => links.add(link)),
    bus.on('link.closed', ({ link }) => links.delete(link)),
    // After a crash nobody closes the links of before.
    bus.on('gossip.started', () => links.clear()),
  ]
  return {
    isLinked: () => links.size > 0,
    stop: () => {
      for (const undo of undos) undo()
    },
  }
}

function isWildcard(hosts: readonly string[]): boolean {
  return hosts.length === 0 || hosts.some((host) => host === '::' || host === '0.0.0.0')
}

function interfaceAddresses(isWanted: (name: string) => boolean = () => true): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => isWanted(name))
    .flatMap(([, list]) => list?.map(({ address }) => address) ?? [])
}
