import type { Caller } from './ids.ts'

/**
 * The only table of permissions. Every listener calls `isAuthorized`, and nothing else decides. New features add
 * actions and columns here, so that there is never a second place.
 * `known` is every caller that has proved a key.
 */
const table = {
  /** Read the specifications, the node's name and key, and its state. */
  see: { anonymous: true, known: true, trusted: true },
  /** Have this node dial the caller at its own address, to find out whether it can be reached. */
  dialBack: { anonymous: false, known: true, trusted: true },
  /** Borrow a container, use it, and return it. */
  borrow: { anonymous: false, known: false, trusted: true },
  /** Have this node send and receive bytes to measure the speed of the connection. */
  measure: { anonymous: false, known: false, trusted: true },
  /** Have this node lend ports to the caller. `Rights.relay` widens or narrows it. */
  relay: { anonymous: false, known: false, trusted: true },
  /** Show a port of the caller's own container here to the outside. */
  map: { anonymous: false, known: false, trusted: true },
  /** Change or watch the node itself. */
  administer: { anonymous: false, known: false, trusted: false },
} as const

export type Action = keyof typeof table

/** To whom a node lends ports: nobody, those whom the owner trusts, every node that proves its key, everybody. */
export const relayPolicies = ['off', 'trusted', 'peers', 'all'] as const

export type RelayPolicy = (typeof relayPolicies)[number]

/** The owner's decisions about others. With `open`, everybody may borrow and measure, as in Go P2PRC, and
 * every node may have the ports of what it borrows shown. */
export interface Rights {
  trusted: ReadonlySet<string>
  open: boolean
  relay: RelayPolicy
}

export function isAuthorized(rights: Rights, caller: Caller, action: Action): boolean {
  if (caller === 'owner') return true
  if (action === 'relay') return mayRelay(rights, caller)
  if (rights.trusted.has(caller)) return table[action].trusted
  return table[action][caller === 'anonymous' ? 'anonymous' : 'known'] || (rights.open && isOpen(action, caller))
}

function isOpen(action: Action, caller: Caller): boolean {
  // A port is shown for the node that borrowed its container, and an anonymous caller is none.
  return action === 'borrow' || action === 'measure' || (action === 'map' && caller !== 'anonymous')
}

function mayRelay({ trusted, open, relay }: Rights, caller: Caller): boolean {
  if (relay === 'off') return false
  if (relay === 'all' || open) return true
  return relay === 'peers' ? caller !== 'anonymous' : trusted.has(caller)
}

/** Whether the owner can allow the action by trusting the caller. */
export function isGrantable(action: Action): boolean {
  return table[action].trusted
}

/**
 * What the own record says of the ports that a node lends: to every node, to those whom the owner trusts, or nothing; and
 * whether it shows them under domains.
 */
export function relayCapabilities({ open, relay }: Pick<Rights, 'open' | 'relay'>, showsDomains = false): string[] {
  if (relay === 'off') return []
  return [relay === 'trusted' && !open ? 'relay:trusted' : 'relay', ...(showsDomains ? ['domains'] : [])]
}
