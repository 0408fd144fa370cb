import { AppError } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import type { Peer } from '../protocol/ipTable.ts'
import { formatAddress } from '../protocol/net/address.ts'
import { isNumeric, type Rung, rungNameOf } from '../protocol/net/endpoint.ts'

/** One row of `p2prc ls`. Null and '' stand for unknown values; `peerCells` shows them as `?`. */
export interface PeerRow {
  name: string
  id: NodeId | ''
  address: string
  path: Rung | 'by name' | 'its link' | 'none'
  latencyMs: number | null
  /** Mbit/s. */
  download: number | null
  upload: number | null
  cores: number | null
  ramMiB: number | null
  ramFreeMiB: number | null
  gpus: string[]
  /** Load average over one minute. */
  load: number | null
  state: Peer['state']
  answeredAgoMs: number | null
  /** The owner's free text, '' where there is none. */
  information: string
}

export interface PeerFilter {
  /** A key of `sorts`; '' is `near`. */
  sort?: string
  /** Only those with a GPU. */
  gpu?: boolean
  minRamMiB?: number
  minCores?: number
  /** Mbit/s. */
  minDownload?: number
  minUpload?: number
  maxLatencyMs?: number
}

const last = Number.POSITIVE_INFINITY
const descending = (value: number | null) => -(value ?? -last)

/** The sort keys of `--sort`, in ascending order with unknown values last. */
const sorts: Readonly<Record<string, (row: PeerRow) => number | string>> = {
  near: ({ latencyMs }) => latencyMs ?? last,
  name: ({ name }) => name || '\uffff',
  down: ({ download }) => descending(download),
  up: ({ upload }) => descending(upload),
  cpu: ({ cores }) => descending(cores),
  memory: ({ ramMiB }) => descending(ramMiB),
  gpu: ({ gpus }) => -gpus.length,
  load: ({ load }) => load ?? last,
  seen: ({ answeredAgoMs }) => answeredAgoMs ?? last,
}

export const sortNames: readonly string[] = Object.keys(sorts)

/** The rows that pass the filter, sorted by its key and then by latency. Throws `bad_request`. */
export function peerRows(peers: readonly Peer[], filter: PeerFilter = {}): PeerRow[] {
  const name = filter.sort || 'near'
  const sort = Object.hasOwn(sorts, name) ? sorts[name] : undefined
  if (!sort || !sorts.near) {
    throw new AppError('bad_request', { why: `There is no sort key "${name}"; the keys are ${sortNames.join(', ')}` })
  }
  const near = sorts.near
  return peers
    .map(rowOf)
    .filter((row) => passes(row, filter))
    .sort((one, other) => compare(sort(one), sort(other)) || compare(near(one), near(other)))
}

const DESCRIPTION_LENGTH = 40

/** Column headings of `peerCells`, the important ones first, because a narrow screen cuts the last ones off. */
export const peerHeadings = [
  'NAME',
  'ADDRESS',
  'LATENCY',
  'CPU',
  'MEMORY',
  'GPU',
  'LOAD',
  'LAST SEEN',
  'PATH',
  'DOWN',
  'UP',
]

export function peerCells(row: PeerRow): string[] {
  return [
    row.name || '?',
    row.address,
    row.latencyMs === null ? '?' : `${rounded(row.latencyMs)} ms`,
    row.cores === null ? '?' : String(row.cores),
    row.ramMiB === null ? '?' : memoryText(row.ramMiB),
    row.cores === null && row.gpus.length === 0 ? '?' : gpuText(row.gpus),
    row.load === null ? '?' : row.load.toFixed(2),
    lastSeenText(row),
    row.path,
    row.download === null ? '?' : `${rounded(row.download)} Mbit/s`,
    row.upload === null ? '?' : `${rounded(row.upload)} Mbit/s`,
  ]
}

/** The table of `ls`. It has a DESCRIPTION column if at least one machine has a description. */
export function peerTable(rows: readonly PeerRow[]): { headings: string[]; cells: string[][] } {
  const hasDescriptions = rows.some(({ information }) => information !== '')
  const headings = hasDescriptions ? [...peerHeadings, 'DESCRIPTION'] : [...peerHeadings]
  const cells = rows.map((row) => (hasDescriptions ? [...peerCells(row), shortText(row.information)] : peerCells(row)))
  return { headings, cells }
}

/** The parts of a narrow screen that a name and an address may take, so that there is room for what follows. */
const NAME_SHARE = 0.3
const ADDRESS_SHARE = 0.4

/** Shortens names and addresses for a screen of so many columns: of a name the end, of an address the middle. */
export function fitPeerCells(cells: readonly string[][], columns: number): string[][] {
  const [nameMax, addressMax] = [NAME_SHARE, ADDRESS_SHARE].map((share) => Math.max(8, Math.floor(columns * share)))
  return cells.map(([name = '', address = '', ...rest]) => [
    shortText(name, nameMax),
    shortAddress(address, addressMax as number),
    ...rest,
  ])
}

/** The port, at the end, tells the nodes of one machine apart. */
function shortAddress(address: string, max: number): string {
  if (address.length <= max) return address
  const tail = Math.floor((max - 1) / 2)
  return `${address.slice(0, max - 1 - tail)}…${address.slice(-tail)}`
}

/** Parses an amount of memory, such as `8G`, `512M` or `1T`, into MiB; a bare number is MiB. Throws `bad_request`. */
export function readMemory(text: string): number {
  const [, digits, unit = 'M'] =
    /^(\d{1,9}(?:\.\d{1,3})?)\s*([MGT])(?:i?B)?$/i.exec(`${text}${/\d$/.test(text) ? 'M' : ''}`) ?? []
  if (digits === undefined) {
    throw new AppError('bad_request', { why: `"${text.slice(0, 64)}" is not an amount of memory such as 8G or 512M` })
  }
  return Number(digits) * ({ M: 1, G: 1_024, T: 1_048_576 }[unit.toUpperCase()] ?? 1)
}

function rowOf(peer: Peer): PeerRow {
  const { machine, specs } = peer
  const [best] = peer.endpoints
  // Go nodes do not report their cores. The specs requested from a node are newer than its record.
  const cores = specs && specs.Cores > 0 ? specs.Cores : null
  const cards = specs?.GPUs.length ? specs.GPUs : specs?.GPU ? [specs.GPU.Gpu] : []
  const gpus = specs ? cards.map(({ GpuName }) => GpuName) : (machine?.gpus ?? [])
  return {
    name: peer.name,
    id: peer.id ?? '',
    address: best ? formatAddress(best) : '',
    path: pathOf(peer),
    latencyMs: peer.latencyNs === null ? null : peer.latencyNs / 1e6,
    download: peer.download,
    upload: peer.upload,
    cores: cores ?? (machine?.cores || null),
    ramMiB: specs?.RAM || machine?.ramMiB || null,
    ramFreeMiB: cores === null || !specs ? null : specs.RAMFree,
    gpus,
    load: cores === null || !specs ? null : specs.Load[0],
    state: peer.state,
    answeredAgoMs: peer.answeredAgoMs,
    information: peer.information,
  }
}

/**
 * The rung of the ladder on which a peer is reached, or else the best one that it offers; a link that it opened itself where
 * none works, as behind NAT.
 */
function pathOf({ path, endpoints: [best], dialable, linked }: Peer): PeerRow['path'] {
  if (!path && linked && !dialable) return 'its link'
  const at = path?.endpoint ?? best
  if (!at) return 'none'
  return at.kind === 'direct' && !isNumeric(at) ? 'by name' : rungNameOf(at)
}

function passes(row: PeerRow, { gpu, minRamMiB, minCores, minDownload, minUpload, maxLatencyMs }: PeerFilter): boolean {
  const atLeast = (value: number | null, least: number | undefined) => least === undefined || (value ?? -1) >= least
  return (
    (!gpu || row.gpus.length > 0) &&
    atLeast(row.ramMiB, minRamMiB) &&
    atLeast(row.cores, minCores) &&
    atLeast(row.download, minDownload) &&
    atLeast(row.upload, minUpload) &&
    (maxLatencyMs === undefined || (row.latencyMs ?? last) <= maxLatencyMs)
  )
}

function lastSeenText({ state, answeredAgoMs }: PeerRow): string {
  const ago = answeredAgoMs === null ? 'not answered yet' : `answered ${spanText(answeredAgoMs)} ago`
  return state === 'suspected' ? `silent, ${ago}` : ago
}

function spanText(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`
}

/** Truncates a text, so that the table stays readable. */
function shortText(text: string, max = DESCRIPTION_LENGTH): string {
  return text.length > max ? `${text.slice(0, max - 1)}…` : text
}

function gpuText(gpus: readonly string[]): string {
  if (gpus.length === 0) return 'none'
  return gpus.length === 1 ? (gpus[0] ?? '') : `${gpus.length} × ${gpus[0]}`
}

function memoryText(mib: number): string {
  return mib < 1_024 ? `${Math.round(mib)} MiB` : `${rounded(mib / 1_024)} GiB`
}

/** Rounds to three significant digits. */
function rounded(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function compare(one: number | string, other: number | string): number {
  if (one === other) return 0
  if (typeof one === 'string' && typeof other === 'string') return one.localeCompare(other)
  return one < other ? -1 : 1
}
