import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createNamespaces, type Machine, type Namespaces } from './namespaces.ts'

/**
 * How a router translates and filters, in the terms of RFC 4787 and, in brackets, of the older RFC 3489:
 *
 * - `fullCone`: endpoint-independent mapping and filtering of UDP, for its one machine
 * - `portRestricted`: endpoint-independent mapping, address and port-dependent filtering, and the port is kept
 * - `symmetric`: address and port-dependent mapping with random ports, and address and port-dependent filtering
 * - `udpBlocked`: as `portRestricted`, and no UDP leaves
 *
 * TCP is filtered by address and port on all of them. None lets a machine reach another one of its own through its
 * public address (no hairpinning), as many home routers do not.
 */
export type RouterKind = 'fullCone' | 'portRestricted' | 'symmetric' | 'udpBlocked'

export interface RouterOptions {
  kind: RouterKind
  /** How many machines are behind it; one by default. */
  machines?: number
  /** Whether machines may ask it for mappings by UPnP and NAT-PMP (miniupnpd). */
  upnp?: boolean
  /** Whether the machines behind it have a container engine. */
  lends?: boolean
}

export interface Router {
  kind: RouterKind
  /** Its public address. */
  address: string
  /** The machines behind it, in one LAN. */
  machines: readonly Machine[]
  /** Runs a program on the router itself. */
  run: Machine['run']
  start: Machine['start']
  /** Sets a token bucket in both directions of its line to the public side. */
  limit(mbit: number): void
  /** Cuts or reconnects the line to the public side. */
  connect(connected: boolean): void
  /** As after a restart: all translations are forgotten, and it has this public address from now on. */
  changeAddress(address: string): void
}

export interface NatLab {
  /** The names of its namespaces, as `ip netns` lists them. */
  readonly namespaces: readonly string[]
  /** Machines with public addresses, each of which is in a subnet of its own. */
  publicMachines: readonly Machine[]
  routers: readonly Router[]
  close(): Promise<void>
}

/** Every LAN has the same addresses, as most homes do, so that an address of one LAN is another machine in the next. */
const lanAddress = (host: number) => `192.168.1.${host}`

/**
 * Creates a public side, which is one switch, and behind it routers with their LANs, in namespaces that `close` removes.
 * The public addresses look public to the program. Needs root.
 */
export async function makeNatLab({
  publicMachines,
  routers,
}: {
  publicMachines: number
  routers: readonly RouterOptions[]
}): Promise<NatLab> {
  const namespaces = createNamespaces()
  try {
    const internet = namespaces.addSwitch('i')
    const hosts = Array.from({ length: publicMachines }, (_, index) => {
      const space = namespaces.add(`h${index}`)
      const address = `20.${index + 1}.0.1`
      namespaces.plug(space, 'wan', internet, `${address}/8`)
      return namespaces.machine(space, address)
    })
    const made: Router[] = []
    for (const [index, options] of routers.entries())
      made.push(await addRouter(namespaces, { ...options, index, internet }))
    return { namespaces: namespaces.names, publicMachines: hosts, routers: made, close: () => namespaces.close() }
  } catch (error) {
    await namespaces.close()
    throw error
  }
}

async function addRouter(
  namespaces: Namespaces,
  {
    kind,
    machines: count = 1,
    upnp = false,
    lends = false,
    index,
    internet,
  }: RouterOptions & { index: number; internet: string },
): Promise<Router> {
  if (kind === 'fullCone' && count > 1) throw new Error('a full cone router has one machine')
  const space = namespaces.add(`r${index}`)
  const lan = namespaces.addSwitch(`l${index}`)
  const address = `20.${index + 101}.0.1`
  namespaces.plug(space, 'wan', internet, `${address}/8`)
  namespaces.plug(space, 'lan', lan, `${lanAddress(1)}/24`)
  namespaces.exec(space, 'sysctl', ['-q', 'net.ipv4.ip_forward=1'])
  namespaces.exec(space, 'iptables-restore', [], rulesOf(kind))
  const machines = Array.from({ length: count }, (_, at) => {
    const behind = namespaces.add(`m${index}${at}`)
    namespaces.plug(behind, 'lan', lan, `${lanAddress(at + 2)}/24`)
    namespaces.ip('-n', behind, 'route', 'add', 'default', 'via', lanAddress(1))
    return namespaces.machine(behind, lanAddress(at + 2), lends ? 'lan' : undefined)
  })
  const itself = namespaces.machine(space, address)
  if (upnp) await startUpnp(namespaces, space, itself)
  const router: Router = {
    kind,
    address,
    machines,
    run: itself.run,
    start: itself.start,
    limit(mbit) {
      for (const device of ['wan', 'lan']) namespaces.limit(space, device, mbit)
    },
    connect(connected) {
      namespaces.ip('-n', space, 'link', 'set', 'wan', connected ? 'up' : 'down')
    },
    changeAddress(changed) {
      // The kernel forgets what was masqueraded when the address of its device goes.
      namespaces.ip('-n', space, 'address', 'flush', 'dev', 'wan')
      namespaces.ip('-n', space, 'address', 'add', `${changed}/8`, 'dev', 'wan')
      router.address = changed
    },
  }
  return router
}

/** The rules of a router, as `iptables-restore` reads them. */
function rulesOf(kind: RouterKind): string {
  const nat: Record<RouterKind, string[]> = {
    fullCone: [
      `-A PREROUTING -i wan -p udp -j DNAT --to-destination ${lanAddress(2)}`,
      '-A POSTROUTING -o wan -j MASQUERADE',
    ],
    portRestricted: ['-A POSTROUTING -o wan -j MASQUERADE'],
    symmetric: [
      '-A POSTROUTING -o wan -p udp -j MASQUERADE --random-fully',
      '-A POSTROUTING -o wan -p tcp -j MASQUERADE --random-fully',
      '-A POSTROUTING -o wan -j MASQUERADE',
    ],
    udpBlocked: ['-A POSTROUTING -o wan -j MASQUERADE'],
  }
  return [
    '*nat',
    ...nat[kind],
    'COMMIT',
    '*filter',
    ':FORWARD DROP',
    ...(kind === 'udpBlocked' ? ['-A FORWARD -p udp -j DROP'] : []),
    '-A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT',
    '-A FORWARD -i lan -o wan -j ACCEPT',
    // What a rule has given a new destination, of this table or of miniupnpd's.
    '-A FORWARD -i wan -m conntrack --ctstate DNAT -j ACCEPT',
    // An unexpected packet that the router itself took would occupy its port, and the machine behind would get another.
    '-A INPUT -i wan -m conntrack ! --ctstate ESTABLISHED,RELATED -j DROP',
    'COMMIT',
    '',
  ].join('\n')
}

/** miniupnpd has rules of its own, in nftables, and writes them where no table of another program is. */
const upnpTable = `table inet upnp {
  chain forward { type filter hook forward priority 0; }
  chain prerouting { type nat hook prerouting priority -100; }
  chain postrouting { type nat hook postrouting priority 100; }
}`

async function startUpnp(namespaces: Namespaces, space: string, { address, home, start }: Machine): Promise<void> {
  namespaces.exec(space, 'nft', ['-f', '-'], upnpTable)
  const config = join(home, 'miniupnpd.conf')
  const settings = {
    ext_ifname: 'wan',
    ext_ip: address,
    listening_ip: 'lan',
    enable_natpmp: 'yes',
    enable_upnp: 'yes',
    // A machine may ask for mappings to itself alone.
    secure_mode: 'yes',
    uuid: '00000000-0000-4000-8000-000000000001',
    upnp_table_name: 'upnp',
    upnp_nat_table_name: 'upnp',
    upnp_forward_chain: 'forward',
    upnp_nat_chain: 'prerouting',
    upnp_nat_postrouting_chain: 'postrouting',
  }
  const lines = Object.entries(settings).map(([key, value]) => `${key}=${value}\n`)
  writeFileSync(config, `${lines.join('')}allow 1024-65535 ${lanAddress(0)}/24 1024-65535\n`)
  await start('miniupnpd', ['-d', '-f', config, '-P', join(home, 'miniupnpd.pid')], /Listening for NAT-PMP/)
}
