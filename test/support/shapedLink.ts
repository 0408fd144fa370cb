import { once } from 'node:events'
import { createNamespaces, type Machine } from './namespaces.ts'

export interface ShapedLink {
  machines: readonly Machine[]
  /** Sets a token bucket in both directions of every machine's link. */
  limit(mbit: number): void
  close(): Promise<void>
}

/** The subnets that the machines of a link can share: as at home, in one data center, or by IPv6. */
export const subnets = {
  private: { address: (index: number) => `10.78.0.${index}`, prefix: 24 },
  public: { address: (index: number) => `20.78.0.${index}`, prefix: 24 },
  ipv6: { address: (index: number) => `2a00:78::${index.toString(16)}`, prefix: 64 },
} as const

/** Creates machines on one switch, in namespaces that `close` removes. Needs root. */
export function makeLink(count = 2, subnet: keyof typeof subnets = 'private'): ShapedLink {
  const namespaces = createNamespaces()
  const hub = namespaces.addSwitch('s')
  const spaces = Array.from({ length: count }, (_, index) => namespaces.add(`n${index}`))
  const machines = spaces.map((space, index) => {
    const address = subnets[subnet].address(index + 1)
    namespaces.plug(space, 'lan', hub, `${address}/${subnets[subnet].prefix}`)
    return namespaces.machine(space, address)
  })
  return {
    machines,
    limit(mbit) {
      for (const space of spaces) namespaces.limit(space, 'lan', mbit)
    },
    close: () => namespaces.close(),
  }
}

/** Resolves with the rate in Mbit/s that iperf3 counts at the receiver, without the first second. */
export async function iperf(to: Machine, from: Machine, seconds: number): Promise<number> {
  const server = await to.start('iperf3', ['-s', '-1', '--forceflush'], /listening/)
  const gone = once(server, 'exit')
  const text = await from.run('iperf3', '-c', to.address, '-t', String(seconds), '-O', '1', '-J')
  await gone
  return JSON.parse(text).end.sum_received.bits_per_second / 1e6
}
