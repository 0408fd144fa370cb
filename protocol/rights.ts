import type { Caller } from './ids.ts'

/**
 * The only table of permissions. Every listener calls `isAuthorized`, and nothing else decides. New features add
 * actions and columns here, so that there is never a second place.
 */
const table = {
  /** Read the specifications, the node's name and key, and its state. */
  see: { anonymous: true, trusted: true },
  /** Borrow a container, use it, and return it. */
  borrow: { anonymous: false, trusted: true },
  /** Have this node send and receive bytes to measure the speed of the connection. */
  measure: { anonymous: false, trusted: true },
  /** Change or watch the node itself. */
  administer: { anonymous: false, trusted: false },
} as const

export type Action = keyof typeof table

/** The owner's decisions about others. With `open`, everybody may borrow and measure, as in Go P2PRC. */
export interface Rights {
  trusted: ReadonlySet<string>
  open: boolean
}

export function isAuthorized(rights: Rights, caller: Caller, action: Action): boolean {
  if (caller === 'owner') return true
  if (rights.trusted.has(caller)) return table[action].trusted
  return table[action].anonymous || (rights.open && (action === 'borrow' || action === 'measure'))
}

/** Whether the owner can allow the action by trusting the caller. */
export function isGrantable(action: Action): boolean {
  return table[action].trusted
}
