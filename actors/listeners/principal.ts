import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError } from '../../protocol/errors.ts'
import type { Caller } from '../../protocol/ids.ts'
import { type Action, isAuthorized, isGrantable, type Rights } from '../../protocol/rights.ts'

/** The sender of a request, as the listener has identified it. */
export interface Principal {
  caller: Caller
  /** The OpenSSH line of the key that the node has proved to hold. It is safe to paste into a shell. */
  key?: string
  /** The remote address of the connection; the node id on a punched path, and "" for the control socket. */
  address: string
}

/** Handles a request of any listener. */
export type Handle = (request: IncomingMessage, response: ServerResponse, principal: Principal) => void

/** Handles a connection of the TCP listener that requests an upgrade from HTTP to another protocol. */
export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, principal: Principal) => void

/**
 * Handles a connection that speaks frp. `release` gives back its place among the listener's connections, as soon as other
 * limits count it.
 */
export type AcceptFrp = (connection: Duplex, principal: Principal, release: () => void) => void

/**
 * Throws `not_owner` or `not_trusted` if `principal` may not do `action`. The message names the command for the lender.
 */
export function authorize(rights: Rights, { caller, key }: Principal, action: Action): void {
  if (isAuthorized(rights, caller, action)) return
  if (!isGrantable(action)) throw new AppError('not_owner')
  const line = key
    ? `p2prc trust add "${key}"`
    : 'p2prc start --open (or use `p2prc touch`, which shows who you are, so that the lender can trust you alone)'
  throw new AppError('not_trusted', { action, line })
}

/**
 * Throws `foreign_origin` for a request that the web page of another site made the owner's browser send. A host name
 * may be forged by DNS rebinding, so only IP addresses and `localhost` count as the node's own origin.
 */
export function refuseForeignPages({ headers }: IncomingMessage): void {
  const { origin, referer, host = '', 'sec-fetch-site': site } = headers
  const from = origin ?? (referer === undefined ? undefined : originOf(referer))
  const isOurs = isOwnHost(host)
  const same = from === undefined || (isOurs && (from === `http://${host}` || from === `https://${host}`))
  if (same && (site === undefined || site === 'same-origin' || site === 'none')) return
  const shown = (from ?? 'another site').replace(/[^\x21-\x7e]/g, '?').slice(0, 128)
  throw new AppError('foreign_origin', { origin: shown })
}

/** Whether a `Host` header has an address of this machine and no name, behind which a page may have had its way. */
export function isOwnHost(host: string): boolean {
  return /^(localhost|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])(:\d+)?$/i.test(host)
}

function originOf(referer: string): string {
  try {
    return new URL(referer).origin
  } catch {
    return 'an invalid referer'
  }
}
