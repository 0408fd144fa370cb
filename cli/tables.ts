import type { ReceivedFact } from '../client/transport.ts'
import type { Revealed } from '../client/types.ts'
import type { ContainerSummary, Port } from '../protocol/containerManager.ts'
import { exitCodeOf } from '../protocol/errors.ts'
import type { HeldContainer, LoanState, Loan as NodeLoan } from '../protocol/groupTracker.ts'
import { type Endpoint, formatEndpoint } from '../protocol/net/endpoint.ts'
import type { Specs } from '../protocol/specs.ts'
import type { TrustedPeer } from '../protocol/trust.ts'
import { list, type Terminal, table } from './terminal.ts'

/** Renders the values of each concern as text for a terminal. Programs get the same values as JSON. */

type Style = Terminal['style']

/** The short form of a container id, as `docker ps` shows it. */
export function shortId(id: string): string {
  return id.slice(0, 12)
}

type Loan = Revealed<NodeLoan>

export function loansTable(loans: readonly (Loan & { state: LoanState })[], style: Style): string {
  if (loans.length === 0) return 'No container is borrowed. Take a container with `p2prc touch WHERE`.'
  return table(
    ['ID', 'STATE', 'LENDER', 'PORTS', 'GPU'],
    loans.map(({ ID, state, IpAddress, Container }) => [
      shortId(ID),
      state,
      IpAddress,
      portsText(Container.Ports.Port),
      Container.GPU === 'true' ? 'yes' : 'no',
    ]),
    style,
  )
}

export function heldTable(
  held: readonly (HeldContainer & { tracked: boolean })[],
  where: string,
  style: Style,
): string {
  if (held.length === 0) return `${where} lends you no container.`
  const rows = held.map(({ id, state, createdAt, tracked }) => [
    shortId(id),
    state,
    createdAt === undefined ? '' : ageText(Date.now() - createdAt),
    tracked ? 'yes' : 'no',
  ])
  const hint = held.every(({ tracked }) => tracked) ? '' : `\nReturn one with \`p2prc rm ID --on ${where}\`.`
  return table(['ID', 'STATE', 'AGE', 'TRACKED'], rows, style) + hint
}

export function loanText({ ID, IpAddress, Container }: Loan, style: Style): string {
  const pairs: [string, string][] = [
    ['Container', shortId(ID)],
    ['Lender', IpAddress],
    ['Shell', `p2prc ssh ${shortId(ID)}`],
  ]
  if (Container.SSHCommand) pairs.push(['SSH', Container.SSHCommand])
  // The password is shown only here, because it is not stored anywhere.
  if (Container.SSHPassword) pairs.push(['Password', `${Container.SSHPassword} (shown once)`])
  pairs.push(['Ports', portsText(Container.Ports.Port)])
  return `${style('green', '✓')} The container is running\n${list(pairs, style)}`
}

export function portsText(ports: readonly Port[]): string {
  const ranges: Port[][] = []
  for (const port of ports) {
    const range = ranges.at(-1)
    if (range && isNext(range.at(-1) as Port, port)) range.push(port)
    else ranges.push([port])
  }
  return ranges
    .map((range) => {
      const [{ PortName, InternalPort, ExternalPort, Type }, last] = [range[0] as Port, range.at(-1) as Port]
      const text = (first: number, end: number) => (first === end ? `${first}` : `${first}-${end}`)
      const name = PortName === 'SSH' ? 'ssh ' : ''
      const inside = InternalPort === ExternalPort ? '' : `→${text(InternalPort, last.InternalPort)}`
      return `${name}${text(ExternalPort, last.ExternalPort)}${inside}${Type === 'udp' ? '/udp' : ''}`
    })
    .join(' ')
}

/** Whether `port` extends the range that ends with `before`, on both sides. */
function isNext(before: Port, port: Port): boolean {
  return (
    before.PortName !== 'SSH' &&
    before.Type === port.Type &&
    before.ExternalPort + 1 === port.ExternalPort &&
    before.InternalPort + 1 === port.InternalPort
  )
}

/** Shows each borrower by the name that the owner gave them, or else by their node id. */
export function containersTable(
  containers: readonly ContainerSummary[],
  trusted: readonly TrustedPeer[],
  style: Style,
  now = Date.now(),
): string {
  const names = new Map<string, string>(trusted.map(({ id, name }) => [id, name]))
  if (containers.length === 0) return 'No container is lent.'
  return table(
    ['ID', 'STATE', 'BORROWER', 'AGE', 'IMAGE', 'PORTS', 'GPU'],
    containers.map(({ id, state, borrower, createdAt, image, ports, gpu }) => [
      shortId(id),
      state,
      names.get(borrower) || borrower,
      ageText(now - createdAt),
      image,
      portsText(ports),
      gpu ? 'yes' : 'no',
    ]),
    style,
  )
}

export function trustTable(peers: readonly TrustedPeer[], style: Style): string {
  if (peers.length === 0) return 'Nobody but the owner may borrow here. Let a friend in with `p2prc trust add KEY`.'
  return table(
    ['NAME', 'ID', 'KEY'],
    peers.map(({ name, id, key }) => [name, id, key]),
    style,
  )
}

export function specsText(specs: Specs, style: Style): string {
  const gib = (mib: number) => `${(mib / 1024).toFixed(1)} GiB`
  const pairs: [string, string][] = [
    ['Host', specs.Hostname],
    ['Platform', specs.Platform],
    [
      'Processor',
      specs.Cores > 0 ? `${specs.CPU}, ${specs.Cores} cores, ${specs.CPUUsage.toFixed(0)} % used` : specs.CPU,
    ],
    ['Memory', specs.RAMFree > 0 ? `${gib(specs.RAM)}, ${gib(specs.RAMFree)} free` : gib(specs.RAM)],
    ['Disk', specs.DiskFree > 0 ? `${gib(specs.Disk)}, ${gib(specs.DiskFree)} free` : gib(specs.Disk)],
    ['Load', specs.Load.map((load) => load.toFixed(2)).join(' ')],
  ]
  for (const card of specs.GPUs) {
    const { GpuUsage } = card.Utilization
    pairs.push([
      'GPU',
      `${card.GpuName}, ${card.MemoryUsed} of ${card.MemoryTotal}, ${GpuUsage}, ${card.Temperature.GpuTemp}`,
    ])
  }
  if (specs.GPUs.length === 0 && specs.GPU) pairs.push(['GPU', specs.GPU.Gpu.GpuName])
  for (const note of specs.Notes ?? []) pairs.push(['Note', note])
  return list(pairs, style)
}

export function configText(config: Readonly<Record<string, unknown>>, style: Style): string {
  return list(
    Object.entries(config).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
    style,
  )
}

/** Formats any event as one line, for `p2prc events`. */
export function eventLine({ type, ...rest }: ReceivedFact): string {
  const fields = Object.entries(rest).map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  return [type, ...fields].join(' ')
}

/** Formats an event for the owner of a running node; undefined for events that are not shown. */
export function ownerLine(event: ReceivedFact): string | undefined {
  const text = (name: string) => String(event[name] ?? '')
  switch (event.type) {
    case 'engine.connected':
      return `The container engine answers (${text('version')})`
    case 'engine.lost':
      return `This machine cannot lend: ${text('message')}`
    case 'image.progress':
      return text('line')
    case 'image.built':
      return `The image for lent containers is ready (${text('image')})`
    case 'container.created':
      return `Lent container ${shortId((event.container as { ID: string }).ID)}`
    case 'container.weakKeyAccepted':
      return `Warning: the container for ${text('borrower')} opens with an RSA key of only ${text('bits')} bits`
    case 'container.removed':
      return `Removed container ${shortId(text('id'))}`
    case 'container.changed':
      return `Container ${shortId(text('id'))} is ${text('state')}`
    case 'gossip.identityConflict':
      return `Another machine uses the key of this node (${(event.endpoints as Endpoint[]).map(formatEndpoint).join(', ')}): give one of them a home of its own`
    case 'node.borrowerRefused':
      return event.key
        ? `Refused ${text('from')}, which is not trusted. To let it borrow: p2prc trust add "${text('key')}"`
        : `Refused ${text('from')}, which has shown no key. Only \`p2prc start --open\` lets it borrow`
    case 'relay.portLent':
      return `Lent port ${text('port')} to ${event.client === 'anonymous' ? text('from') : text('client')}`
    case 'relay.domainShown':
      return `Port ${text('port')} is shown as ${text('name')}`
    case 'relay.certificateIssued':
      return `${text('name')} has a certificate of the authority`
    case 'relay.certificateMissing':
      return `${text('name')} keeps a self-signed certificate: ${text('why')}`
    case 'relay.portFreed':
      return `Port ${text('port')} is free again: ${text('why')}`
    case 'node.fileQuarantined':
      return quarantineLine(event)
    case 'node.concernCrashed':
      return `${text('concern')} crashed and restarts: ${text('message')}`
    case 'container.createFailed':
      if (event.code === 'abandoned') return 'The borrower hung up; its unfinished container was removed.'
      return ownFailure(event)
    default:
      return event.type.endsWith('Failed') ? ownFailure(event) : undefined
  }
}

/** A failure of this machine. What is wrong with a request concerns those who sent it, and they are told. */
function ownFailure({ code, message }: ReceivedFact): string | undefined {
  return [2, 3, 4].includes(exitCodeOf(String(code))) ? undefined : String(message ?? '')
}

/** How long ago something happened, in its largest whole unit. */
export function ageText(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const
  const [unit, size] = units.find(([, size]) => ms >= size) ?? (['s', 1_000] as const)
  return `${Math.max(0, Math.floor(ms / size))} ${unit}`
}

function quarantineLine({ path, quarantinePath, lost }: ReceivedFact): string {
  if (!Array.isArray(lost)) return `${path} could not be read; it was quarantined as ${quarantinePath}`
  const names = lost.map((name) => shortId(String(name))).join(', ')
  if (!quarantinePath)
    return `${path} is empty, but ${names} was borrowed before. \`p2prc ps --on WHERE\` lists what a machine lends you.`
  return `${path}: ${names} could not be read and was left out, the others stay; the former file is ${quarantinePath}`
}

/** A number of bytes as a person reads it. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`
}
