import type { NodeId } from '../../protocol/ids.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import { type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import type { Dial, Link } from './gossipState.ts'
import { activeLinksInSubnet, closeLink, subnetKey } from './membership.ts'
import { getEntry, sample, shardKey } from './shardedMap.ts'
import { takeTokens } from './tokenBucket.ts'
import { activeLinks, isActive, linkTo, random, setLink, type Tx } from './tx.ts'

/**
 * Which links a node has: a bounded random few that are active, however large the network, and ephemeral ones to members it has
 * no link to, which find dead members, join split networks and let newcomers in.
 */

/** Dials at one time to fill up active links: enough to be connected in a second, few enough to choose well. */
const PARALLEL_DIALS = 3

/** A node that every peer rejects still looks for an active link this often. */
const LONGEST_PAUSE_MS = 30_000

/** Tries to pick a suitable random member before this round gives up. */
const RANDOM_TRIES = 16

/** A node with fewer active links than this is accepted even where all places are taken. */
const NEEDY_LINKS = 3

/** Whether this member may be dialled now. `urgent`: for this node's own purpose, so not held back by `redialMs`. */
export function canDial(tx: Tx, { short, record }: SignedRecord, urgent = false): boolean {
  const { state } = tx
  if (short === state.self.short || record.addresses.length === 0 || linkTo(tx, short)) return false
  if ((state.banned.get(short) ?? 0) > tx.now || record.left) return false
  for (const { target } of state.dials.values()) if (target === short) return false
  return mayDial(tx, record.addresses, urgent)
}

export function dial(
  tx: Tx,
  { short, record }: SignedRecord,
  { active, urgent }: { active: boolean; urgent: boolean },
): void {
  // A death is decided in seconds, so a probe does not wait as long as a link that is to be active.
  startDial(tx, { target: short, active }, record.addresses, urgent ? tx.state.config.dialTimeoutMs : 5_000, record.id)
}

/** Each round: closes what neither end needs, looks for links, opens an ephemeral link now and then, tries removed members. */
export function maintainLinks(tx: Tx): void {
  closeEphemeral(tx)
  const { state, now } = tx
  const { config } = state
  const kept = activeLinks(tx)
  const chosen = kept.filter(({ dialled }) => dialled).length
  const coming = state.dials.values().filter(({ active }) => active).length
  const wanted = Math.max(config.linksWanted - kept.length, config.linksChosen - chosen) - coming
  for (let dials = 0; now >= state.nextLinkAt && dials < Math.min(wanted, PARALLEL_DIALS - coming); dials += 1) {
    const member = randomMember(tx)
    if (!member) break
    dial(tx, member, { active: true, urgent: false })
  }
  if (now >= state.nextEphemeralAt) {
    state.nextEphemeralAt = now + config.ephemeralEveryMs * (0.75 + random(tx) / 2)
    const member = randomMember(tx)
    if (member) dial(tx, member, { active: false, urgent: false })
  }
  retry(tx)
}

/** Whether no link is active and none is being dialled: then bootstrap addresses are tried often. */
export function isIsolated({ state }: Tx): boolean {
  if (state.dials.size > 0) return false
  for (const link of state.links.values()) if (isActive(link)) return false
  return true
}

/**
 * Whether an accepted link may be active: its subnet and the places for accepted ones have room, or its other end needs
 * one and comes from a subnet with fewer members than that of a link which then gives way. So invented nodes, many
 * to an address, only ever push out each other, and nobody can surround a node.
 */
export function accepts(tx: Tx, subnet: string, links: number): boolean {
  const { config } = tx.state
  if (activeLinksInSubnet(tx, subnet) >= config.linksPerSubnet) return false
  const accepted = activeLinks(tx).filter(({ dialled }) => !dialled)
  if (accepted.length < config.linksMost - config.linksChosen) return true
  if (links >= NEEDY_LINKS) return false
  const subnetCount = (name: string) => getEntry(tx.state.subnetCounts, shardKey(name)) ?? 0
  const victim = accepted.reduce((one, other) => (subnetCount(other.subnet) > subnetCount(one.subnet) ? other : one))
  if (subnetCount(victim.subnet) <= subnetCount(subnet)) return false
  setLink(tx, { ...victim, activeHere: false })
  return true
}

function closeEphemeral(tx: Tx): void {
  const { state, now } = tx
  for (const link of state.links.values()) {
    if (isActive(link) && link.helloReceived) continue
    // The end that dialled closes an ephemeral link; the other end waits in case it does not.
    const maxAgeMs = state.config.ephemeralMs * (link.dialled || !link.helloReceived ? 1 : 3)
    if (now - link.openedAt <= maxAgeMs || isBusy(tx, link)) continue
    // Rejected: the places are taken, so the next tries come slower and slower.
    if (link.dialled && link.activeHere) {
      state.linkBackoffMs = Math.min(LONGEST_PAUSE_MS, 2 * state.linkBackoffMs)
      state.nextLinkAt = now + state.linkBackoffMs
    }
    closeLink(tx, link, 'ephemeral')
  }
}

function isBusy({ state }: Tx, { peer, missing }: Link): boolean {
  if (missing.length > 0) return true
  for (const probe of state.probes.values()) if (probe.target === peer) return true
  return false
}

/** A random member to link to, each subnet as likely as any other, however many ids it has. */
function randomMember(tx: Tx): SignedRecord | undefined {
  const { state } = tx
  for (let tries = 0; tries < RANDOM_TRIES; tries += 1) {
    const member = sample(state.members, () => random(tx))
    if (!member || state.suspects.has(member.short) || !canDial(tx, member)) continue
    const subnet = subnetOf(member.record.addresses[0])
    if (activeLinksInSubnet(tx, subnet.name) >= state.config.linksPerSubnet) continue
    const subnetCount = subnet.private ? 1 : (getEntry(state.subnetCounts, subnetKey(subnet)) ?? 1)
    if (random(tx) * subnetCount < 1) return member
  }
  return undefined
}

/** Dials a node that is not a member now: a removed one, or one given by the owner or a file. Often while there is no link. */
export function retry(tx: Tx): void {
  const { state, now } = tx
  const { config } = state
  if (now < state.nextRetryAt) return
  const isolated = isIsolated(tx)
  state.isolatedBackoffMs = isolated
    ? Math.min(config.isolatedRetryMs, 2 * state.isolatedBackoffMs)
    : config.isolatedFirstMs
  state.nextRetryAt = now + (isolated ? state.isolatedBackoffMs : config.retryMs)
  const tombstone = sample(state.tombstones, () => random(tx))
  const unknown = state.bootstrapAddresses.filter(({ id }) => !id || !getEntry(state.members, shortOf(id)))
  const candidate = unknown[Math.floor(random(tx) * unknown.length)]
  const useTombstone = tombstone && !tombstone.signed.record.left && (!candidate || random(tx) < 0.5)
  if (useTombstone && canDial(tx, tombstone.signed, isolated))
    dial(tx, tombstone.signed, { active: true, urgent: false })
  else if (candidate && mayDial(tx, candidate.addresses, true))
    startDial(tx, { target: undefined, active: true }, candidate.addresses, 5_000, candidate.id)
}

function mayDial({ state, now }: Tx, addresses: readonly string[], urgent: boolean): boolean {
  const { config } = state
  if (state.links.size + state.dials.size >= config.socketsMost) return false
  if (takeTokens(state.dialTokens, now, 1, config.dialsPerSecond)[0] === 0) return false
  return urgent || (state.dialledAt.get(addresses[0] ?? '') ?? Number.NEGATIVE_INFINITY) + config.redialMs <= now
}

function startDial(tx: Tx, entry: Dial, addresses: readonly string[], timeoutMs: number, id?: NodeId): void {
  const { state, now, effects } = tx
  state.dialTokens = takeTokens(state.dialTokens, now, 1, state.config.dialsPerSecond)[1]
  state.dialCount += 1
  const link = `d${state.dialCount}`
  state.dials = state.dials.set(link, entry)
  state.dialledAt = state.dialledAt.set(addresses[0] ?? '', now)
  effects.push({ type: 'dial', link, addresses, unverified: entry.target !== undefined, timeoutMs, ...(id && { id }) })
}
