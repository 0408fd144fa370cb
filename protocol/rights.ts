import type { Caller } from './ids.ts'

/**
 * The one table of who may do what. Every door asks `authorize`; nothing else decides. New work adds actions and
 * columns, never a second place.
 */
const table = {
  /** Specifications, the node's name and key, how it is doing. */
  see: { stranger: true, trusted: true },
  /** Take a container, use it, give it back. */
  borrow: { stranger: false, trusted: true },
  /** Have this node send and take bytes, to see how fast the way is. */
  measure: { stranger: false, trusted: true },
  /** Change or watch the node itself. */
  administer: { stranger: false, trusted: false },
} as const

export type Action = keyof typeof table

/** What the owner has said about others. `open` is Go P2PRC's way: everybody counts as trusted for borrowing and measuring. */
export interface Rights {
  trusted: ReadonlySet<string>
  open: boolean
}

export function authorize(rights: Rights, caller: Caller, action: Action): boolean {
  if (caller === 'owner') return true
  if (rights.trusted.has(caller)) return table[action].trusted
  return table[action].stranger || (rights.open && (action === 'borrow' || action === 'measure'))
}

/** Whether the owner's trust would help somebody who was refused. */
export function isGrantable(action: Action): boolean {
  return table[action].trusted
}
