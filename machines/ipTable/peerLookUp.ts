import { AppError, toFailure } from '../../protocol/errors.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { isIPv4, isIPv6, parseAddress } from '../../protocol/net/address.ts'
import { bestFirst, canonical, type Row } from './peerRow.ts'
import type { Table } from './peerTable.ts'

export interface Found extends PeerAt {
  /** The node that must answer there. Absent where the owner named an address: then whoever is there is meant. */
  id?: NodeId
}

export type LookedUp =
  | { found: Found }
  | { failure: Failure }
  /** Ask the resolver for this name; where it knows none, `fallback`. */
  | { resolveDns: PeerAt; fallback: { found: Found } | { failure: Failure } }

const MATCHES_SHOWN = 5

/**
 * What `where` means. A word is a peer's name, else the beginning of a node id, else a host name. What has a dot or a
 * colon is an address: a peer cannot draw requests to itself by calling itself as another host is called. Names and
 * ids are compared case by case.
 */
export function lookUp(table: Table, where: string): LookedUp {
  if (where.startsWith('SHA256:')) return one(where, withId(table, where)) ?? unknown(where)
  const named = [...table.values()].filter((row) => row.entry.Name === where)
  if (/[.:]/.test(where)) return address(table, where, named)
  const known = one(where, named) ?? one(where, withId(table, `SHA256:${where}`))
  if (known) return known
  try {
    return { resolveDns: parseAddress(where), fallback: unknown(where) }
  } catch {
    return unknown(where)
  }
}

function address(table: Table, where: string, named: Row[]): LookedUp {
  try {
    const at = canonical(parseAddress(where))
    const [, name] = /^([^.:[\]]+):\d+$/.exec(where) ?? []
    const known =
      name &&
      one(
        name,
        [...table.values()].filter((row) => row.entry.Name === name),
      )
    if (known) return 'found' in known ? { found: { host: known.found.host, port: at.port } } : known
    const isIp = isIPv4(at.host) || isIPv6(at.host)
    const fallback = isIp ? undefined : one(where, named)
    return fallback ? { resolveDns: at, fallback } : { found: at }
  } catch (error) {
    return one(where, named) ?? { failure: toFailure(error) }
  }
}

function withId(table: Table, prefix: string): Row[] {
  return [...table.values()].filter((row) => row.entry.NodeId?.startsWith(prefix))
}

function one(where: string, rows: Row[]): { found: Found } | { failure: Failure } | undefined {
  // Who answers goes before who once did.
  const live = rows.filter(({ status }) => status !== 'dropped')
  const matches = live.length > 0 ? live : rows
  const [row] = matches
  if (!row) return undefined
  if (matches.length > 1) {
    const shown = matches.slice(0, MATCHES_SHOWN).map(({ key }) => key)
    const more = matches.length > shown.length ? [`${matches.length - shown.length} more`] : []
    return {
      failure: new AppError('ambiguous', { id: where, kind: 'node', matches: [...shown, ...more].join(', ') }).toJSON(),
    }
  }
  const best = bestFirst(row.addresses)[0]
  if (!best) {
    const why = 'it has no address at which it could be dialled'
    return { failure: new AppError('unreachable', { where: where.slice(0, 128), why }).toJSON() }
  }
  const id = row.entry.NodeId as NodeId | undefined
  return { found: { host: best.host, port: best.port, ...(id && { id }) } }
}

function unknown(where: string): { failure: Failure } {
  return { failure: new AppError('not_found', { kind: 'node', id: where.slice(0, 128) }).toJSON() }
}
