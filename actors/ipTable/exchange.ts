import { randomUUID } from 'node:crypto'
import type { Outcome } from '../../machines/ipTable/ipTablePorts.ts'
import { endpointOf, rowOf } from '../../machines/ipTable/peerRow.ts'
import { documentFor, type Upload } from '../../machines/ipTable/publicTable.ts'
import { CRAWL } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { type IpTableFile, legacyFieldsOf, parseIpTable, type TableEntry } from '../../protocol/files/ipTable.ts'
import { type Endpoint, formatEndpoint, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import type { Connection } from '../net/dialer.ts'
import { fetchText } from '../net/httpClient.ts'

/**
 * Uploads this node's table as Go does, as a multipart file named `json`, and reads the peer's table from the
 * response. The upload leaves out the rows of the peer at `endpoints`.
 */
export async function exchangeTables(
  { stream, endpoint }: Connection,
  { upload, endpoints, signal }: { upload: Upload; endpoints: readonly Endpoint[]; signal: AbortSignal },
): Promise<IpTableFile> {
  const where = formatEndpoint(endpoint)
  const boundary = `p2prc-${randomUUID()}`
  const head = `--${boundary}\r\nContent-Disposition: form-data; name="json"; filename="ip_table.json"\r\nContent-Type: application/json\r\n\r\n`
  const answer = await fetchText(stream, {
    where,
    method: 'POST',
    // A node of ours sends as many rows as fit; Go ignores the parameter.
    path: `/IpTable?maxBytes=${BODY_MAX_BYTES}`,
    headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
    body: Buffer.from(`${head}${documentFor(upload, endpoints)}\r\n--${boundary}--\r\n`),
    signal,
    timeoutMs: CRAWL.peerTimeoutMs,
    maxBytes: BODY_MAX_BYTES,
  })
  return parseIpTable(answer, where)
}

type SelfDescription = Pick<Extract<Outcome, { kind: 'legacy' }>, 'fields' | 'also'>

/**
 * Returns what a peer without a key says of itself in its table, in the entry with the endpoint at which it was dialled.
 * Its other endpoint must have the same port.
 */
export function selfDescription({ ip_address: entries }: IpTableFile, at: Endpoint): SelfDescription {
  const own: TableEntry | undefined = entries.find((entry) =>
    rowOf(entry)?.endpoints.some((each) => isSameEndpoint(each, at)),
  )
  if (!own) return {}
  const also = rowOf({ ...own, Addresses: undefined })?.endpoints.filter(({ host }) => host !== at.host)
  const fields = { ...legacyFieldsOf(own), PublicKey: own.PublicKey.slice(0, PUBLIC_KEY_MAX_CHARS) }
  return { fields, also: (also ?? []).map(endpointOf) }
}

/** An RSA key of 16,384 bits has 2,800 characters. */
const PUBLIC_KEY_MAX_CHARS = 4_096
