import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { AppError } from '../../protocol/errors.ts'
import type { Caller } from '../../protocol/ids.ts'
import { type Action, isAuthorized, isGrantable, type Rights } from '../../protocol/rights.ts'

/** Who made a request, as the listener knows it. */
export interface Principal {
  caller: Caller
  /** The OpenSSH line of the key that a node id has proved to hold, fit to be pasted into a shell. */
  key?: string
  /** Where the connection comes from; "" for the control socket. */
  address: string
}

/** What a listener does with each request. */
export type Handle = (request: IncomingMessage, response: ServerResponse, principal: Principal) => void

/** What the network's listener does with a connection that asks for another protocol than HTTP. */
export type Upgrade = (request: IncomingMessage, socket: Duplex, head: Buffer, principal: Principal) => void

/** Throws the refusal where `principal` may not do `action`, with the line that the lender would have to run. */
export function authorize(rights: Rights, { caller, key }: Principal, action: Action): void {
  if (isAuthorized(rights, caller, action)) return
  if (!isGrantable(action)) throw new AppError('not_owner')
  const line = key
    ? `p2prc trust add "${key}"`
    : 'p2prc start --open (or use `p2prc touch`, which shows who you are, so that the lender can trust you alone)'
  throw new AppError('not_trusted', { action, line })
}

/**
 * Throws `foreign_origin` for a request that a web page of somebody else made the owner's browser send. A page's own
 * address may lie (DNS rebinding), so only one that is a number or `localhost` counts as ours.
 */
export function refuseForeignPages({ headers }: IncomingMessage): void {
  const { origin, referer, host = '', 'sec-fetch-site': site } = headers
  const from = origin ?? (referer === undefined ? undefined : originOf(referer))
  const isOurs = /^(localhost|\d+\.\d+\.\d+\.\d+|\[[0-9a-f:.]+\])(:\d+)?$/i.test(host)
  const same = from === undefined || (isOurs && (from === `http://${host}` || from === `https://${host}`))
  if (same && (site === undefined || site === 'same-origin' || site === 'none')) return
  const shown = (from ?? 'another site').replace(/[^\x21-\x7e]/g, '?').slice(0, 128)
  throw new AppError('foreign_origin', { origin: shown })
}

function originOf(referer: string): string {
  try {
    return new URL(referer).origin
  } catch {
    return 'an unreadable place'
  }
}
