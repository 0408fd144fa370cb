/** Which hosts are behind a router, and their addresses: the public ones, and those that mean a host in one LAN only. */
export interface NatWorld {
  /** The number of the router that a host is behind; undefined for a public host. */
  routerOf: (host: number) => number | undefined
  /** The address that a host has itself. */
  addressOf: (host: number) => string
  /** The address from which `to` sees a link that `from` has opened. */
  observedAddress: (from: number, to: number) => string
}

export const PORT = 8_088

/** Every third router has two hosts behind it, the others have one. */
const HOSTS_OF_THREE_ROUTERS = [0, 1, 2, 2]

/**
 * Puts this part of the hosts, from 0 to below 1, behind routers that let nobody in. Host 0 is public. The LANs have the same
 * addresses, as most homes do.
 */
export function createNatWorld(hosts: number, part: number): NatWorld {
  const located: ({ router: number; address: string } | undefined)[] = []
  const sizes = new Map<number, number>()
  let behind = 0
  for (let host = 0; host < hosts; host += 1) {
    if (Math.floor((host + 1) * part) === Math.floor(host * part)) {
      located.push(undefined)
      continue
    }
    const router = 3 * Math.floor(behind / 4) + (HOSTS_OF_THREE_ROUTERS[behind % 4] as number)
    const size = (sizes.get(router) ?? 0) + 1
    sizes.set(router, size)
    located.push({ router, address: `192.168.1.${size + 1}:${PORT}` })
    behind += 1
  }
  const routerOf = (host: number) => located[host]?.router
  const addressOf = (host: number) => located[host]?.address ?? publicAddress(20, host)
  return {
    routerOf,
    addressOf,
    observedAddress(from, to) {
      const router = routerOf(from)
      return router === undefined || router === routerOf(to) ? addressOf(from) : publicAddress(120, router)
    },
  }
}

function publicAddress(first: number, index: number): string {
  return `${first + (index >> 16)}.${(index >> 8) & 255}.${index & 255}.1:${PORT}`
}
