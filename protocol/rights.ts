import type { Caller } from './ids.ts'

/**
 * The one table of who may do what. Every listener asks `isAuthorized`; nothing else decides. New work adds actions and
 * columns, never a second place.
 */
const table = {
  /** Specifications, the node's name and key, how it is doing. */
  see: { anonymous: true, trusted: true },
  /** Take a container, use it, give it back. */
  borrow: { anonymous: false, trusted: true },
  /** Have this node send and take bytes, to see how fast the way is. */
  measure: { anonymous: false, trusted: true },
  /** Change or watch the node itself. */
  administer: { anonymous: false, trusted: false },
} as const

export type Action = keyof typeof table

/** What the owner has said about others. `open` is Go P2PRC's way: everybody counts as trusted for borrowing and measuring. */
export interface Rights {
  trusted: ReadonlySet<string>
  open: boolean
}

export function isAuthorized(rights: Rights, caller: Caller, action: Action): boolean {
  if (caller === 'owner') return true
  if (rights.trusted.has(caller)) return table[action].trusted
  return table[action].anonymous || (rights.open && (action === 'borrow' || action === 'measure'))
}

/** Whether the owner's trust would help somebody who was refused. */
export function isGrantable(action: Action): boolean {
  return table[action].trusted
}
