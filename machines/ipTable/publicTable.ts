import { LEGACY_TEXT_MAX_CHARS } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { newEntry, type TableEntry } from '../../protocol/files/ipTable.ts'
import { type Endpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { entryOf, type Row, rowOf } from './peerRow.ts'
import type { Self, Table } from './peerTable.ts'

/** The table as peers without a key see it, in P2PRC's form. */

/** Rows of the public table as JSON texts, each with the addresses at which its peer would be told of itself. */
export type Upload = readonly { addresses: readonly string[]; text: string }[]

/**
 * Returns the rows for peers without a key: this node first, then the peers that answered it, the latest first. A row
 * without a name is left out, because Go takes over whole rows, so that it would erase a name known elsewhere.
 */
export function publicRows(table: Table, self: Self, now: number): Row[] {
  const answered = [...table.values()].filter(
    ({ status, answeredAt, endpoints, entry }) =>
      status === 'answering' && answeredAt !== null && endpoints.length > 0 && isWhole(entry),
  )
  const { advertisable } = self
  const own = rowOf(
    newEntry({
      Name: self.name,
      IPV4: advertisable.find((host) => !host.includes(':')) ?? '',
      IPV6: advertisable.find((host) => host.includes(':')) ?? '',
      ServerPort: String(self.port),
      NAT: !self.relaysToAll,
      CustomInformation: self.information,
    }),
  )
  const latest = answered.sort((one, other) => (other.answeredAt ?? now) - (one.answeredAt ?? now))
  return [...(own ? [own] : []), ...latest]
}

/**
 * Returns the entry that others may see, without this node's measurements and without fields that only its owner set.
 */
export function publicEntryOf(row: Row): TableEntry {
  return {
    ...entryOf(row, 0),
    // A node whose owner has named it nothing is known by its id.
    Name: row.entry.Name || (row.entry.NodeId ?? ''),
    Latency: 0,
    Download: 0,
    Upload: 0,
    // A Go node behind a NAT asks the nearest node without one to relay, and does not start if that node does not.
    NAT: row.entry.NodeId !== undefined || row.entry.NAT,
    // Go nodes in unsafe mode write every key of a table into `authorized_keys`, so no key is sent.
    PublicKey: '',
    NodeId: undefined,
    Addresses: undefined,
    Added: undefined,
    Trusted: undefined,
    AnsweredAt: undefined,
    Cores: undefined,
    RAM: undefined,
    RAMFree: undefined,
    Disk: undefined,
    Load: undefined,
    GPUs: undefined,
  }
}

/** Returns the rows to upload to peers: as many as one of them accepts. */
export function uploadOf(rows: readonly Row[]): Upload {
  const upload: { addresses: string[]; text: string }[] = []
  let bytes = EMPTY_BYTES
  for (const row of rows) {
    const text = JSON.stringify(publicEntryOf(row))
    bytes += encoder.encode(text).length + 1
    if (bytes > BODY_MAX_BYTES) break
    upload.push({ addresses: row.endpoints.map(formatEndpoint), text })
  }
  return upload
}

/** Returns the document for one peer, without its own row: what it says of itself is newer. */
export function documentFor(upload: Upload, endpoints: readonly Endpoint[]): string {
  const own = new Set(endpoints.map(formatEndpoint))
  const rows = upload.filter(({ addresses }) => !addresses.some((address) => own.has(address)))
  return `{"ip_address":[${rows.map(({ text }) => text).join(',')}]}`
}

const encoder = new TextEncoder()

const EMPTY_BYTES = encoder.encode('{"ip_address":[]}').length

function isWhole({ Name, NodeId, CustomInformation }: TableEntry): boolean {
  return (Name !== '' || NodeId !== undefined) && CustomInformation.length < LEGACY_TEXT_MAX_CHARS
}
