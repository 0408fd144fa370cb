/**
 * The phases of a link. An address that is being dialled is `dialing` (see `Dial`); what was dialled or accepted is
 * `greeting` until the peer's hello has come, then `active` where both ends count it among their active links and
 * `ephemeral` where they do not. A peer that says goodbye instead of hello leaves it `rejected`, one that does so later
 * `closing`, until the socket is closed.
 */

/** The ends that count a link among their active ones, as far as this end knows. */
export type ActiveAt = 'both' | 'here' | 'there' | 'neither'

/** The phase of an open link. All have the same keys, so that all links have one hidden class. */
export type LinkPhase =
  /** Counts as active already where both ends are expected to want it. */
  | { readonly phase: 'greeting'; readonly activeAt: ActiveAt; readonly farewell: '' }
  | { readonly phase: 'active'; readonly activeAt: 'both'; readonly farewell: '' }
  | { readonly phase: 'ephemeral'; readonly activeAt: Exclude<ActiveAt, 'both'>; readonly farewell: '' }
  /** `farewell` is the peer's reason, and never empty. */
  | { readonly phase: 'rejected' | 'closing'; readonly activeAt: 'neither'; readonly farewell: string }

/** A link that was just opened. The other end is expected to count it as active until it says otherwise. */
export function greeting(here: boolean): LinkPhase {
  return { phase: 'greeting', activeAt: here ? 'both' : 'there', farewell: '' }
}

/** A link whose peer has sent its hello. */
export function greeted(here: boolean, there: boolean): LinkPhase {
  if (here && there) return { phase: 'active', activeAt: 'both', farewell: '' }
  return { phase: 'ephemeral', activeAt: here ? 'here' : there ? 'there' : 'neither', farewell: '' }
}

/** A link whose peer says goodbye. */
export function saidGoodbye({ phase }: LinkPhase, why: string): LinkPhase {
  const next = phase === 'greeting' || phase === 'rejected' ? 'rejected' : 'closing'
  return { phase: next, activeAt: 'neither', farewell: why || 'bye' }
}

/** Whether the peer has said goodbye. Nothing brings such a link back. */
export function isEnding({ farewell }: LinkPhase): boolean {
  return farewell !== ''
}

/** This end counts a link among its active ones from now on, or no longer. */
export function withActiveHere(link: LinkPhase, here: boolean): LinkPhase {
  return withActive(link, here, isActiveThere(link))
}

/** The other end says whether it counts the link among its active ones. */
export function withActiveThere(link: LinkPhase, there: boolean): LinkPhase {
  return withActive(link, isActiveHere(link), there)
}

/** Whether both ends count it as active. */
export function isActive({ activeAt }: LinkPhase): boolean {
  return activeAt === 'both'
}

export function isActiveHere({ activeAt }: LinkPhase): boolean {
  return activeAt === 'both' || activeAt === 'here'
}

export function isActiveThere({ activeAt }: LinkPhase): boolean {
  return activeAt === 'both' || activeAt === 'there'
}

/** A link that is ending stays so, and one without a hello waits for it. */
function withActive(link: LinkPhase, here: boolean, there: boolean): LinkPhase {
  if (isEnding(link)) return link
  const next = greeted(here, there)
  return link.phase === 'greeting' ? { phase: 'greeting', activeAt: next.activeAt, farewell: '' } : next
}
