import type { NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import { type SignedRecord, shortOf } from '../../protocol/wire/record.ts'
import type { Dial, Link, Tombstone } from './gossipState.ts'
import { isActive, isActiveHere, withActiveHere } from './linkPhase.ts'
import { isMember, statusOf } from './member.ts'
import { closeLink, isBanned } from './membership.ts'
import { getEntry, sample, shardKey, valuesOf } from './shardedMap.ts'
import { subnetKey } from './subnetQuota.ts'
import { takeTokens } from './tokenBucket.ts'
import { activeLinks, linkTo, random, setLink, type Tx } from './tx.ts'

// The overlay network. A node keeps a bounded number of active links to random members, however large the network is, and
// opens ephemeral links to members without one, which detects dead members, heals partitions and admits new nodes.

/** Maximum number of dials in progress for active links: a node connects within a second and can still choose its peers. */
const PARALLEL_DIALS = 3

/** Longest backoff of a node that all peers reject. */
const MAX_LINK_BACKOFF_MS = 30_000

/** Number of random members to look at before a round gives up. */
const RANDOM_TRIES = 16

/**
 * A node with fewer active links than this dials several peers at the same time, and may replace an accepted link of a peer
 * that has no room. One with more has its place in the network: it is in no hurry, also while all others start.
 */
const FEW_LINKS = 3

/** Whether a member may be dialled now. Urgent dials are not subject to `redialIntervalMs`. */
export function canDial(tx: Tx, { short, record }: SignedRecord, urgent = false): boolean {
  const { state } = tx
  if (short === state.self.short || record.endpoints.length === 0 || linkTo(tx, short) || isBanned(tx, short))
    return false
  for (const { target } of state.dials.values()) if (target === short) return false
  return mayDial(tx, parseEndpoints(record.endpoints), urgent)
}

export function dial(
  tx: Tx,
  { short, record }: SignedRecord,
  { active, urgent }: { active: boolean; urgent: boolean },
): void {
  // A probe must be decided within seconds, so it has less time than the dial of an active link.
  const endpoints = parseEndpoints(record.endpoints)
  startDial(tx, { target: short, active }, endpoints, urgent ? tx.state.config.dialTimeoutMs : 5_000, record.id)
}

/** Once a round: closes ephemeral links, dials missing active links, now and then an ephemeral one, and removed members. */
export function maintainLinks(tx: Tx): void {
  closeEphemeral(tx)
  const { state, now } = tx
  const { config } = state
  const active = activeLinks(tx)
  const outbound = active.filter(({ dialled }) => dialled).length
  const dialling = state.dials.values().filter(({ active }) => active).length
  const missing = Math.max(config.targetLinks - active.length, config.minOutboundLinks - outbound) - dialling
  const parallel = active.length < FEW_LINKS ? PARALLEL_DIALS : 1
  for (let dials = 0; now >= state.nextLinkAt && dials < Math.min(missing, parallel - dialling); dials += 1) {
    const member = randomMember(tx)
    if (!member) break
    dial(tx, member, { active: true, urgent: false })
  }
  if (now >= state.nextEphemeralAt) {
    state.nextEphemeralAt = now + config.ephemeralIntervalMs * (0.75 + random(tx) / 2)
    const member = randomMember(tx)
    if (member) dial(tx, member, { active: false, urgent: false })
  }
  retry(tx)
}

/**
 * Whether no link is active, and few are being dialled: a bootstrap address that does not answer for seconds must not keep the
 * node from trying the next one. An isolated node dials bootstrap addresses often.
 */
export function isIsolated({ state }: Tx): boolean {
  if (state.dials.size >= PARALLEL_DIALS) return false
  for (const link of state.links.values()) if (isActive(link)) return false
  return true
}

/**
 * Whether an accepted link may be active: either the accepted links have room, of which a subnet over its quota leaves the
 * last to others, or the peer has few links and its subnet has fewer members than that of an accepted link, which is then
 * demoted. Sybil nodes, which share few subnets, therefore replace only each other and cannot eclipse a node.
 */
export function accepts(tx: Tx, subnet: string, links: number): boolean {
  const { config } = tx.state
  const isOverQuota = activeLinksInSubnet(tx, subnet) >= config.maxLinksPerSubnet
  const accepted = activeLinks(tx).filter(({ dialled }) => !dialled)
  const room = config.maxLinks - config.minOutboundLinks - (isOverQuota ? config.maxLinksPerSubnet : 0)
  if (accepted.length < room) return true
  if (isOverQuota || links >= FEW_LINKS) return false
  const subnetCount = (name: string) => getEntry(tx.state.subnetCounts, shardKey(name)) ?? 0
  const victim = accepted.reduce((one, other) => (subnetCount(other.subnet) > subnetCount(one.subnet) ? other : one))
  if (subnetCount(victim.subnet) <= subnetCount(subnet)) return false
  setLink(tx, { ...victim, ...withActiveHere(victim, false) })
  return true
}

function closeEphemeral(tx: Tx): void {
  const { state, now } = tx
  for (const link of state.links.values()) {
    if (link.phase === 'active') continue
    // The dialling end closes an ephemeral link; the accepting end waits longer, in case it does not.
    const isGreeted = link.phase === 'ephemeral' || link.phase === 'closing'
    const maxAgeMs = state.config.maxEphemeralMs * (isGreeted && !link.dialled ? 3 : 1)
    if (now - link.openedAt <= maxAgeMs || isBusy(tx, link)) continue
    // The peer has not accepted the link as active, so this node backs off.
    if (link.dialled && isActiveHere(link)) {
      state.linkBackoffMs = Math.min(MAX_LINK_BACKOFF_MS, 2 * state.linkBackoffMs)
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

/** Returns a random member to dial. Each subnet is equally likely, however many members it has. */
function randomMember(tx: Tx): SignedRecord | undefined {
  const { state } = tx
  let isAnyDialable = false
  for (let tries = 0; tries < RANDOM_TRIES; tries += 1) {
    const member = sample(state.members, () => random(tx))
    if (!member || !isDialable(tx, member)) continue
    isAnyDialable = true
    const { weight, isOverQuota } = chanceOf(tx, member)
    if (!isOverQuota && random(tx) < weight) return member
  }
  return isAnyDialable ? drawMember(tx) : undefined
}

/** Does the same among all members. One in a subnet over its quota is returned only if no other subnet has any. */
function drawMember(tx: Tx): SignedRecord | undefined {
  const drawn: Record<'others' | 'overQuota', { member?: SignedRecord; total: number }> = {
    others: { total: 0 },
    overQuota: { total: 0 },
  }
  for (const member of valuesOf(tx.state.members)) {
    if (!isDialable(tx, member)) continue
    const { weight, isOverQuota } = chanceOf(tx, member)
    const draw = isOverQuota ? drawn.overQuota : drawn.others
    draw.total += weight
    if (random(tx) * draw.total < weight) draw.member = member
  }
  return drawn.others.member ?? drawn.overQuota.member
}

function isDialable(tx: Tx, member: SignedRecord): boolean {
  return statusOf(tx.state, member.short) === 'alive' && canDial(tx, member)
}

/** How likely a member is to be dialled, and whether this node has as many links into its subnet as it should. */
function chanceOf(tx: Tx, { record }: SignedRecord): { weight: number; isOverQuota: boolean } {
  const { subnetCounts, config } = tx.state
  const subnet = subnetOf(record.endpoints[0])
  const count = subnet.private ? 1 : (getEntry(subnetCounts, subnetKey(subnet)) ?? 1)
  return { weight: 1 / count, isOverQuota: activeLinksInSubnet(tx, subnet.name) >= config.maxLinksPerSubnet }
}

function activeLinksInSubnet({ state }: Tx, subnet: string): number {
  let count = 0
  for (const link of state.links.values()) if (isActive(link) && link.subnet === subnet) count += 1
  return count
}

/** Dials a removed member or a bootstrap address of a node that is not a member. Isolated nodes do so more often. */
export function retry(tx: Tx): void {
  const { state, now } = tx
  const { config } = state
  if (now < state.nextRetryAt) return
  const isolated = isIsolated(tx)
  state.isolatedBackoffMs = isolated
    ? Math.min(config.isolatedMaxBackoffMs, 2 * state.isolatedBackoffMs)
    : config.isolatedInitialBackoffMs
  state.nextRetryAt = now + (isolated ? state.isolatedBackoffMs : config.retryIntervalMs)
  const tombstone = sampleDead(tx)
  const dialling = new Set(state.dials.values().map(({ endpoint }) => endpoint && formatEndpoint(endpoint)))
  const unknown = state.bootstrapAddresses.filter(
    ({ id, endpoints: [first] }) =>
      !(id && isMember(statusOf(state, shortOf(id)))) && !(first && dialling.has(formatEndpoint(first))),
  )
  const candidate = unknown[Math.floor(random(tx) * unknown.length)]
  const useTombstone = tombstone && (!candidate || random(tx) < 0.5)
  if (useTombstone && canDial(tx, tombstone.signed, isolated))
    dial(tx, tombstone.signed, { active: true, urgent: false })
  else if (candidate && mayDial(tx, candidate.endpoints, true))
    startDial(tx, { target: undefined, active: true }, candidate.endpoints, 5_000, candidate.id)
}

/** Returns a random member that was removed as dead and may be dialled. Invented ones that have expired often have no address. */
function sampleDead(tx: Tx): Tombstone | undefined {
  for (let tries = 0; tries < RANDOM_TRIES; tries += 1) {
    const tombstone = sample(tx.state.tombstones, () => random(tx))
    if (!tombstone || (tombstone.status === 'dead' && tombstone.signed.record.endpoints.length > 0)) return tombstone
  }
  return undefined
}

function mayDial({ state, now }: Tx, endpoints: readonly Endpoint[], urgent: boolean): boolean {
  const { config } = state
  if (state.links.size + state.dials.size >= config.maxSockets) return false
  if (takeTokens(state.dialTokens, now, 1, config.dialsPerSecond)[0] === 0) return false
  const dialledAt = state.dialledAt.get(keyOf(endpoints)) ?? Number.NEGATIVE_INFINITY
  return urgent || dialledAt + config.redialIntervalMs <= now
}

function startDial(
  tx: Tx,
  { target, active }: Pick<Dial, 'target' | 'active'>,
  endpoints: readonly Endpoint[],
  timeoutMs: number,
  id?: NodeId,
): void {
  const { state, now, effects } = tx
  state.dialTokens = takeTokens(state.dialTokens, now, 1, state.config.dialsPerSecond)[1]
  state.dialCount += 1
  const link = `d${state.dialCount}`
  state.dials = state.dials.set(link, { phase: 'dialing', id: link, endpoint: endpoints[0], target, active })
  state.dialledAt = state.dialledAt.set(keyOf(endpoints), now)
  effects.push({ type: 'dial', link, endpoints, unverified: target !== undefined, timeoutMs, ...(id && { id }) })
}

/** The key of a peer in `dialledAt`: the text of its best endpoint. */
function keyOf([best]: readonly Endpoint[]): string {
  return best ? formatEndpoint(best) : ''
}
