import type { PeerList } from '../client/peers.ts'
import type { ReceivedFact } from '../client/transport.ts'
import { HOPS } from '../protocol/defaults/ipTable.ts'
import { AppError } from '../protocol/errors.ts'
import type { TableEntry } from '../protocol/files/ipTable.ts'
import type { Failure } from '../protocol/ids.ts'
import { formatAddress, parseAddress } from '../protocol/net/address.ts'
import { formatEndpoint } from '../protocol/net/endpoint.ts'
import type { SpeedMeasured } from '../protocol/speedTester.ts'
import { wholeNumber } from './commandLine.ts'
import { fitPeerCells, type PeerFilter, type PeerRow, peerRows, peerTable, readMemory } from './peerRows.ts'
import type { Call, Handler } from './runCommand.ts'
import { list, type Terminal, table } from './terminal.ts'
import { type View, watch } from './watch.ts'

const PORT_MAX = 65_535
const LARGEST = 999_999_999

/** The handlers of the network commands. */
export const peerCommands = {
  async ls(call) {
    const filter = filterOf(call)
    if (call.has('watch')) return watch(call, () => view(call, filter))
    showPeers(await listed(call), filter, call.terminal)
  },

  async update(call) {
    const { option, request, terminal } = call
    const hops = wholeNumber('--hops', option('hops') ?? String(HOPS.default), 1, HOPS.max)
    const onFact = (fact: ReceivedFact) => {
      if (fact.type === 'table.progress') terminal.progress(fact, hopLine(fact))
    }
    await request({ type: 'table.update', hops }, onFact)
    showPeers(await listed(call), {}, terminal)
  },

  async speed({ args: [where = ''], option, request, terminal }) {
    const direction = directionOf(option('direction') ?? 'both')
    const { type: _, requestId: __, ...measured } = await request({ type: 'speed.measure', where, direction })
    terminal.value(measured, () => speedText(measured, terminal.style))
  },

  async add({ args: [where = ''], option, has, request, terminal, legacy }) {
    const port = option('ports')
    const at = port === undefined ? where : withPort(where, wholeNumber('--ports', port, 1, PORT_MAX))
    const { peer } = await request({ type: 'peer.add', where: at, replace: has('replace') })
    terminal.done(peer, `${has('replace') ? 'Replaced all by' : 'Added'} ${at}`, legacy)
  },

  async describe({ args, request, terminal, legacy }) {
    const { text } = await request({ type: 'record.describe', text: args.join(' ') })
    terminal.done({ text }, text === '' ? 'This machine has no description now' : `All others see: ${text}`, legacy)
  },
} satisfies Record<string, Handler>

const directions = ['both', 'download', 'upload'] as const

function directionOf(text: string): (typeof directions)[number] {
  const found = directions.find((direction) => direction === text)
  if (!found) throw new AppError('bad_request', { why: `--direction is ${directions.join(', ')} and not "${text}"` })
  return found
}

export function speedText(measured: Omit<SpeedMeasured, 'type' | 'requestId'>, style: Terminal['style']): string {
  const { endpoint, download, upload, latencyNs, latencyMedianNs } = measured
  const rate = (mbps: number | null) => (mbps === null ? '?' : `${mbps.toFixed(1)} Mbit/s`)
  const ms = (ns: number) => `${(ns / 1e6).toFixed(2)} ms`
  const pairs: [string, string][] = [
    ['Machine', formatEndpoint(endpoint)],
    ['Latency', `${ms(latencyNs)}, ${ms(latencyMedianNs)} median`],
    ['Download', rate(download)],
    ['Upload', rate(upload)],
  ]
  return list(pairs, style)
}

function withPort(where: string, port: number): string {
  return formatAddress({ host: parseAddress(where).host, port })
}

function filterOf({ option, has }: Pick<Call, 'option' | 'has'>): PeerFilter {
  const number = (name: string) => {
    const value = option(name)
    return value === undefined ? undefined : wholeNumber(`--${name}`, value, 0, LARGEST)
  }
  const memory = option('min-ram')
  const given = {
    sort: option('sort'),
    gpu: has('gpu') || undefined,
    minRamMiB: memory === undefined ? undefined : readMemory(memory),
    minCores: number('min-cores'),
    minDownload: number('min-down'),
    minUpload: number('min-up'),
    maxLatencyMs: number('max-latency'),
  }
  const filter: PeerFilter = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  // Rejects an unknown sort key before a request is sent.
  peerRows([], filter)
  return filter
}

async function listed({ client, signal }: Call): Promise<PeerList> {
  const { listPeers } = await import('../client/peers.ts')
  return listPeers(await client(), { signal })
}

function showPeers(listed: PeerList, filter: PeerFilter, terminal: Terminal): void {
  const rows = peerRows(listed.peers, filter)
  terminal.value(tableDocument(listed, rows), () => peersText(rows, listed.peers.length, terminal.style))
}

/** P2PRC's IP table, limited to the rows and in their order. */
function tableDocument({ peers, entries }: PeerList, rows: readonly PeerRow[]): { ip_address: TableEntry[] } {
  const keys = peers.map(({ id, endpoints: [best] }) => id ?? (best ? formatAddress(best) : ''))
  const known = new Map(keys.map((key, index) => [key, entries[index] as TableEntry]))
  return { ip_address: rows.flatMap(({ id, address }) => known.get(id || address) ?? []) }
}

/** `columns` is the width of a screen that cuts lines off. */
export function peersText(
  rows: readonly PeerRow[],
  all: number,
  style: Terminal['style'],
  columns = Number.POSITIVE_INFINITY,
): string {
  if (all === 0) return 'No machine is known yet. Add one with `p2prc add WHERE`, then run `p2prc update`.'
  if (rows.length === 0) return 'No known machine matches.'
  const { headings, cells } = peerTable(rows)
  return table(headings, fitPeerCells(cells, columns), style)
}

/** What `--watch` shows: a person sees the age of the last answer, which is no change. */
async function view(call: Call, filter: PeerFilter): Promise<View> {
  const list = await listed(call)
  const rows = peerRows(list.peers, filter)
  const document = tableDocument(list, rows)
  const identity = [document, rows.map(({ answeredAgoMs: _, ...row }) => row)]
  return { document, identity, text: (style, columns) => peersText(rows, list.peers.length, style, columns) }
}

function hopLine({ hop, where, entries, failure }: ReceivedFact): string {
  const message = failure ? (failure as Failure).message : `named ${entries ?? 0}`
  // Most failure messages already begin with the address.
  return message.startsWith(String(where)) ? `hop ${hop}: ${message}` : `hop ${hop}: ${where}: ${message}`
}
