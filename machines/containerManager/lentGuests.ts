import type { ActorRefFrom } from 'xstate'
import {
  type ContainerManagerCommand,
  type ContainerManagerSays,
  containerManagerCommands,
  type LentContainer,
} from '../../protocol/containerManager.ts'
import { REMOVED_REMEMBERED } from '../../protocol/defaults.ts'
import { Fault } from '../../protocol/errors.ts'
import type { Caller, ContainerId, Failure } from '../../protocol/ids.ts'
import type { containerMachine } from '../container.ts'
import { type Found, type GuestSays, lentOf } from './guest.ts'

/** What the container manager keeps of each guest. */
export interface LentGuest {
  ref: ActorRefFrom<typeof containerMachine>
  caller: Caller
  requestId: string
  /** Name of the image folder; '' for a guest that was here before this life of the node. */
  image: string
  slug: string
  lent: LentContainer | null
  /** It is being taken back, and whoever asked for it has been told: nobody can see it any more. */
  failed: boolean
  /** How many wait for the answer to `requestId`. */
  askers: number
  /** Requests that wait for it to be removed. */
  removers: string[]
}

export type LentGuests = Readonly<Record<string, LentGuest>>

/** A guest that was removed here, remembered so that removing it again is no error. */
export interface Removed {
  id: ContainerId
  caller: Caller
}

/** What the container manager knows of its guests. */
export interface Known {
  guests: LentGuests
  removed: readonly Removed[]
}

/** The fact that says that a command could not be done. */
export function refusal(
  { type, requestId }: Pick<ContainerManagerCommand, 'type' | 'requestId'>,
  { code, message }: Failure,
): ContainerManagerSays {
  const [, failed] = containerManagerCommands[type].ends
  return { type: failed, requestId, code, message }
}

/** The guests with one of them changed; one that is no longer there stays so. */
export function changed(guests: LentGuests, key: string, now: Partial<LentGuest>): LentGuests {
  const guest = guests[key]
  return guest ? { ...guests, [key]: { ...guest, ...now } } : guests
}

/** The record of a new guest. */
export function entry(
  ref: LentGuest['ref'],
  from: Pick<LentGuest, 'caller' | 'requestId'> & Partial<LentGuest>,
): LentGuest {
  return { ref, slug: '', image: '', lent: null, failed: false, askers: 0, removers: [], ...from }
}

/** What is known of a guest at once, before its own machine has said anything: a list may be asked for already. */
export function adopted(found: Found) {
  const { caller, requestId, slug, whole, running } = found
  const lent = whole ? lentOf(found, found, running ? 'running' : 'stopped') : null
  return { caller, requestId, slug, lent, failed: !whole }
}

/** Owners see all, everybody else their own. */
function visible({ caller }: { caller: Caller }, to: Caller): boolean {
  return to === 'owner' || caller === to
}

/** The guest that this request made or is making, whoever repeats it. */
export function guestOf(guests: LentGuests, caller: Caller, requestId: string): [string, LentGuest] | undefined {
  return Object.entries(guests).find(
    ([, guest]) => !guest.failed && guest.caller === caller && guest.requestId === requestId,
  )
}

export function lentTo(guests: LentGuests, caller: Caller): LentContainer[] {
  return Object.values(guests).flatMap((guest) =>
    guest.lent && !guest.failed && visible(guest, caller) ? [guest.lent] : [],
  )
}

/** The guest or removed guest that `reference`, an id or its beginning, means to `caller`; `not_found`, `ambiguous` else. */
export function lookUp(
  { guests, removed }: Known,
  caller: Caller,
  reference: string,
): { id: ContainerId; key: string; guest: LentGuest } | { id: ContainerId; guest: null } | Fault {
  const here = Object.entries(guests).flatMap(([key, guest]) =>
    guest.lent?.id.startsWith(reference) && !guest.failed && visible(guest, caller)
      ? [{ key, guest, id: guest.lent.id }]
      : [],
  )
  const [found] = here
  if (found && here.length === 1) return found
  if (found) return ambiguous(reference, here)
  const gone = removed.filter((one) => one.id.startsWith(reference) && visible(one, caller))
  const [last] = gone
  if (last && gone.length === 1) return { id: last.id, guest: null }
  if (last) return ambiguous(reference, gone)
  return new Fault('not_found', { kind: 'container', id: reference })
}

function ambiguous(id: string, matches: readonly { id: string }[]): Fault {
  return new Fault('ambiguous', {
    kind: 'container',
    id,
    matches: matches.map((one) => one.id.slice(0, 12)).join(', '),
  })
}

/** What is known, and what there is to publish, after a guest has said something. */
export function afterGuestSaid(
  { guests, removed }: Known,
  said: GuestSays,
): Known & { facts: readonly ContainerManagerSays[] } {
  const guest = guests[said.key]
  if (!guest) return { guests, removed, facts: [] }
  const { requestId } = guest
  const now = (next: Partial<LentGuest>, ...facts: ContainerManagerSays[]) => {
    return { guests: changed(guests, said.key, next), removed, facts }
  }
  switch (said.type) {
    case 'guest.planned':
      return now({ slug: said.slug })
    case 'guest.needsImage':
      return now({})
    case 'guest.progress':
      return now({}, { type: 'container.progress', requestId, step: said.step, line: said.line })
    case 'guest.changed': {
      const { id, state } = said.lent
      return now({ lent: said.lent }, ...(said.unasked ? [{ type: 'container.changed', id, state } as const] : []))
    }
    case 'guest.made':
      return now({ askers: 0 }, { type: 'container.created', requestId, container: said.reply })
    case 'guest.makeFailed':
      return now({ askers: 0, failed: !said.kept }, refusal({ type: 'container.create', requestId }, said.failure))
    case 'guest.removeFailed': {
      const refuse = (remover: string) => refusal({ type: 'container.remove', requestId: remover }, said.failure)
      return now({ removers: [] }, ...guest.removers.map(refuse))
    }
    case 'guest.gone':
      return afterGuestGone({ guests, removed }, guest, said)
  }
}

function afterGuestGone(
  { guests, removed }: Known,
  guest: LentGuest,
  said: Extract<GuestSays, { type: 'guest.gone' }>,
) {
  const { [said.key]: _, ...others } = guests
  const { id } = said
  const facts: ContainerManagerSays[] = []
  if (!id) return { guests: others, removed, facts }
  // It asked for its answer again while the container was being removed.
  const lost = new Fault('not_found', { kind: 'container', id })
  if (guest.askers > 0) facts.push(refusal({ type: 'container.create', requestId: guest.requestId }, lost))
  for (const requestId of guest.removers) facts.push({ type: 'container.removed', requestId, id })
  if (said.unasked) facts.push({ type: 'container.changed', id, state: 'gone' })
  const remembered = guest.failed ? removed : [{ id, caller: guest.caller }, ...removed].slice(0, REMOVED_REMEMBERED)
  return { guests: others, removed: remembered, facts }
}
