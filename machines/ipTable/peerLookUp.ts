import { AppError, toFailure } from '../../protocol/errors.ts'
import type { Failure, NodeId } from '../../protocol/ids.ts'
import { parseAddress } from '../../protocol/net/address.ts'
import { directEndpoint, type Endpoint, isNumeric } from '../../protocol/net/endpoint.ts'
import { refusal } from '../../protocol/net/reachable.ts'
import { bestFirst, endpointOf, type KnownEndpoint, parsed, type Row } from './peerRow.ts'
import { findByAddress, type Table } from './peerTable.ts'

export interface ResolvedPeer {
  /** The node that must answer. Absent if the owner named an address: then any node may answer. */
  id?: NodeId
  /** The OpenSSH public key of that node, as the table has it. */
  key?: string
  /** Best first, at least one. */
  endpoints: Endpoint[]
}

export type LookedUp =
  | { found: ResolvedPeer }
  | { failure: Failure }
  /** The name is to be looked up in DNS; if it is not found, `fallback` applies. */
  | { resolveDns: Endpoint; fallback: { found: ResolvedPeer } | { failure: Failure } }

const MATCHES_SHOWN = 5

/** The keys of nodes are shorter; a file may have anything. */
const KEY_MAX_CHARS = 1_024

/**
 * Resolves `where`. A word is a peer's name, or else a node id prefix, or else a host name. Text with a dot or a
 * colon is an address, so that a peer cannot attract requests by taking the name of another host. Names and ids are
 * compared case by case.
 */
export function lookUp(table: Table, where: string, { test = false }: { test?: boolean } = {}): LookedUp {
  const one = (text: string, rows: Row[]) => onlyMatch(text, rows, test)
  if (where.startsWith('SHA256:')) return one(where, withId(table, where)) ?? unknown(where)
  const named = [...table.values()].filter((row) => row.entry.Name === where)
  if (/[.:]/.test(where)) return address(table, where, named, one)
  const known = one(where, named) ?? one(where, withId(table, `SHA256:${where}`))
  if (known) return known
  try {
    return { resolveDns: directEndpoint(parseAddress(where)), fallback: unknown(where) }
  } catch {
    return unknown(where)
  }
}

function address(table: Table, where: string, named: Row[], one: Choose): LookedUp {
  try {
    const at = directEndpoint(parseAddress(where))
    const [, name] = /^([^.:[\]]+):\d+$/.exec(where) ?? []
    const known =
      name &&
      one(
        name,
        [...table.values()].filter((row) => row.entry.Name === name),
      )
    if (known) return 'found' in known ? atPort(known.found.endpoints, at.port, where) : known
    const fallback = isNumeric(at) ? undefined : one(where, named)
    return fallback ? { resolveDns: at, fallback } : { found: { endpoints: [at] } }
  } catch (error) {
    return one(where, named) ?? { failure: toFailure(error) }
  }
}

function withId(table: Table, prefix: string): Row[] {
  return [...table.values()].filter((row) => row.entry.NodeId?.startsWith(prefix))
}

type Choose = (where: string, rows: Row[]) => { found: ResolvedPeer } | { failure: Failure } | undefined

/** Returns the row of the peer that people mean by `where`, also of one that has no endpoint. */
export function rowNamed(table: Table, where: string): { row: Row } | { failure: Failure } {
  const named = () => [...table.values()].filter((row) => row.entry.Name === where)
  const at = /[.:]/.test(where) && !where.startsWith('SHA256:') ? parsed(where) : undefined
  const addressed = at && findByAddress(table, at)
  const choices = [addressed ? [addressed] : [], named(), withId(table, where), withId(table, `SHA256:${where}`)]
  return onlyRow(where, choices.find((rows) => rows.length > 0) ?? []) ?? unknown(where)
}

function onlyRow(where: string, rows: Row[]): { row: Row } | { failure: Failure } | undefined {
  // Peers that answer precede those that were dropped.
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
  return { row }
}

function onlyMatch(where: string, rows: Row[], test: boolean): ReturnType<Choose> {
  const only = onlyRow(where, rows)
  if (!only || 'failure' in only) return only
  const { row } = only
  const endpoints = bestFirst({
    ...row,
    endpoints: row.endpoints.filter((at) => mayBeDialled(at, test)),
  }).map(endpointOf)
  if (endpoints.length === 0) {
    const why = 'it has no address at which it could be dialled'
    return { failure: new AppError('unreachable', { where: where.slice(0, 128), why }).toJSON() }
  }
  const { NodeId: id, PublicKey: key } = row.entry
  return { found: { endpoints, ...(id && { id: id as NodeId, ...(key && { key: key.slice(0, KEY_MAX_CHARS) }) }) } }
}

/**
 * Whether an endpoint may be dialled for the owner. A peer's record may not name addresses that third parties may not
 * name.
 */
function mayBeDialled(at: KnownEndpoint, test: boolean): boolean {
  return at.trusted || at.provedAt !== null || !isNumeric(at) || refusal(at.host, at.port, { test }) === undefined
}

/** Returns a peer's own hosts at another port, which the owner named. */
function atPort(endpoints: readonly Endpoint[], port: number, where: string): LookedUp {
  const own = endpoints.filter(({ kind }) => kind === 'direct' || kind === 'mapped')
  const hosts = [...new Set(own.map(({ host }) => host))].map((host) => directEndpoint({ host, port }))
  if (hosts.length > 0) return { found: { endpoints: hosts } }
  const why = 'it is reached through a relay, which has no other port of it'
  return { failure: new AppError('unreachable', { where: where.slice(0, 128), why }).toJSON() }
}

function unknown(where: string): { failure: Failure } {
  return { failure: new AppError('not_found', { kind: 'node', id: where.slice(0, 128) }).toJSON() }
}
