import { randomUUID } from 'node:crypto'
import { rowOf } from '../../machines/ipTable/peerRow.ts'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import type { Bus } from '../../protocol/bus.ts'
import { TABLE_PAGE_MAX_CHARS, UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { type IpTableFile, parseIpTable, type TableEntry } from '../../protocol/files/ipTable.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { UnverifiedPeer } from '../../protocol/ipTable.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { request } from '../request.ts'

/** The two halves of `POST /IpTable`, by which peers without a key exchange tables with this node. */

/**
 * Accepts a table that somebody uploaded from the host `from`, and returns it. Nothing is dialled here: the endpoints are
 * queued. Rejects with `too_large` or `protocol_error`.
 */
export async function acceptTable(bus: Bus<BusEvent>, body: string, from: string): Promise<IpTableFile> {
  const received = parseIpTable(body, from)
  for (const unverified of inMessages(namedIn(received).slice(0, UNVERIFIED_MAX.all)))
    await request(bus, {
      type: 'table.addUnverified',
      requestId: randomUUID(),
      caller: 'anonymous',
      unverified,
      from,
    })
  return received
}

export interface PublicTableOptions {
  /** The table that was just received from the host `from`. */
  received: IpTableFile
  from: string
  /** The document has no more rows than fit. */
  maxBytes?: number
  signal: AbortSignal
}

/** Returns this node's public table as P2PRC's JSON document, in pieces that are made as they are read. */
export function publicTable(
  bus: Bus<BusEvent>,
  { received, from, maxBytes = Number.POSITIVE_INFINITY, signal }: PublicTableOptions,
): ReadableStream<string> {
  const { readable, writable } = new TransformStream<string, string>()
  const writer = writable.getWriter()
  const ownWords = ownWordsIn(received, from)
  const full = new AbortController()
  let written = 0
  let bytes = '{"ip_address":[]}'.length
  const textOf = (entries: readonly TableEntry[]) => {
    let text = ''
    for (const entry of entries) {
      const row = JSON.stringify(ownWords(entry) ?? entry)
      bytes += Buffer.byteLength(row) + 1
      if (bytes > maxBytes) {
        full.abort()
        break
      }
      text += `${written > 0 ? ',' : ''}${row}`
      written += 1
    }
    return text
  }
  const send = async () => {
    // Nobody waits for the first piece before it is read.
    void writer.write('{"ip_address":[').catch(() => {})
    const command = { type: 'table.show', requestId: randomUUID(), caller: 'owner' } as const
    await request(bus, command, {
      signal: AbortSignal.any([signal, full.signal]),
      onFact: (fact) => (fact.type === 'table.page' ? writer.write(textOf(fact.entries)) : undefined),
    }).catch((error) => {
      if (!full.signal.aborted) throw error
    })
    await writer.write(']}')
    await writer.close()
  }
  send().catch((error) => writer.abort(error).catch(() => {}))
  return readable
}

/**
 * Returns what the sender says of itself, if an entry is its own: it takes over whole rows, so that an older version of
 * its own row would overwrite what it says now.
 */
function ownWordsIn({ ip_address }: IpTableFile, from: string): (entry: TableEntry) => TableEntry | undefined {
  const rows = new Map<string, TableEntry>()
  for (const entry of ip_address)
    for (const at of rowOf(entry)?.endpoints ?? []) if (at.host === from) rows.set(formatEndpoint(at), entry)
  return (entry) => {
    if (rows.size === 0) return undefined
    const addresses = (rowOf(entry)?.endpoints ?? []).map(formatEndpoint)
    return addresses.map((address) => rows.get(address)).find((own) => own !== undefined)
  }
}

/** Splits what was received, so that no message on the bus is as large as an upload may be. */
function* inMessages(peers: readonly UnverifiedPeer[]): Generator<UnverifiedPeer[]> {
  let message: UnverifiedPeer[] = []
  let chars = 0
  for (const peer of peers) {
    message.push(peer)
    chars += JSON.stringify(peer).length
    if (chars < TABLE_PAGE_MAX_CHARS) continue
    yield message
    message = []
    chars = 0
  }
  if (message.length > 0) yield message
}
