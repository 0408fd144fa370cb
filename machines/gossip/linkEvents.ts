import type { NodeId } from '../../protocol/ids.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import type { WireBody } from '../../protocol/wire/gossip.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import { cancelProbes, markAlive, onRefused, probeMember, reportFailure, suspect } from './failureDetector.ts'
import type { GossipEvent, GossipState, Link } from './gossipState.ts'
import { greeted, greeting, isActiveHere, isEnding, type LinkPhase, withActiveHere } from './linkPhase.ts'
import { isLocated, locate } from './located.ts'
import { isMember, statusOf } from './member.ts'
import { closeLink, endProbes, isBanned, mergeRecord, newestRecord, penalize, removeLink } from './membership.ts'
import { accepts } from './overlay.ts'
import { getEntry, sample } from './shardedMap.ts'
import { compareDigests, push, refute, sendRecords } from './spread.ts'
import { activeLinks, emit, linkTo, random, send, setLink, type Tx } from './tx.ts'

/** Number of member records that a rejected peer gets. */
const REFERRALS = 16

type Opened = Extract<GossipEvent, { type: 'opened' }>

export function onOpened(tx: Tx, { link: id, id: nodeId, dialled, address }: Opened): void {
  const { state, now } = tx
  const dialEntry = state.dials.get(id)
  state.dials = state.dials.delete(id)
  const peer = shortOf(nodeId)
  const active = dialled && (dialEntry?.active ?? false)
  const full = { at: now, left: 1 }
  const link: Link = {
    id,
    peer,
    nodeId,
    dialled,
    openedAt: now,
    receivedAt: now,
    subnet: subnetName(address, getEntry(state.members, peer)?.record.endpoints[0]),
    observedAddress: address,
    root: '',
    syncAt: 0,
    failedSyncRoots: '',
    syncBackoffUntil: 0,
    missing: [],
    penalties: 0,
    recordTokens: full,
    suspicionTokens: full,
    servedTokens: full,
    digestTokens: full,
    ...greeting(active),
  }
  const banned = isBanned(tx, peer)
  const old = linkTo(tx, peer)
  // An address that leads back to this node is of no use as a bootstrap address.
  if (nodeId === state.self.record.id)
    state.bootstrapAddresses = state.bootstrapAddresses.filter((entry) => !leadsTo(entry, address))
  if (nodeId === state.self.record.id || banned || (!old && state.links.size >= state.config.maxSockets)) {
    if (!banned) reject(tx, link)
    tx.effects.push({ type: 'close', link: id })
    return
  }
  if (dialled && !dialEntry?.target)
    state.bootstrapAddresses = state.bootstrapAddresses.map((entry) =>
      leadsTo(entry, address) ? { endpoints: entry.endpoints, id: nodeId } : entry,
    )
  emit(tx, { type: 'link.opened', link: id, id: nodeId, dialled, address })
  if (old && old.dialled !== dialled && keepsDialled(state.self.record.id, nodeId) !== dialled) {
    // Both nodes dialled at once, and both keep the link that the node with the smaller id dialled.
    closeLink(tx, link, 'duplicate')
    if (active) setLink(tx, { ...old, ...withActiveHere(old, true) })
    markAlive(tx, peer)
    return
  }
  if (old) closeLink(tx, old, 'duplicate')
  setLink(tx, { ...link, ...greeting(active || (old !== undefined && isActiveHere(old))) })
  state.linkOf = state.linkOf.set(peer, id)
  // If the peer is suspected, this tells it over the new link, so that it can refute.
  markAlive(tx, peer)
  if (dialled) sendHello(tx, link)
}

export function onHello(tx: Tx, link: Link, hello: WireBody<'link/hello'>): void {
  const { state, tools } = tx
  const signed = tools.read(...hello.record)
  if (!signed || signed.record.id !== link.nodeId) {
    penalize(tx, link, 'its hello carries the record of another node')
    return
  }
  const result = mergeRecord(tx, signed, link, 1)
  if (result === 'forged') penalize(tx, link, 'its hello carries a forged record')
  if (result === 'forged') return
  const current = state.links.get(link.id)
  if (!current) return
  locate(tx, link.peer, signed.record, link.observedAddress)
  const subnet = subnetName(link.observedAddress, signed.record.endpoints[0])
  const updated = setLink(tx, { ...current, ...phaseAfterHello(tx, current, subnet, hello), subnet, root: hello.root })
  if (!link.dialled && link.phase === 'greeting') sendHello(tx, updated)
  if (link.dialled && hello.active) state.linkBackoffMs = state.config.roundMs
  if (hello.observedAddress)
    emit(tx, { type: 'gossip.selfAddressObserved', address: hello.observedAddress, by: link.nodeId })
  const newest = newestRecord(tx, link.peer)
  if (newest && newest.record.seq > signed.record.seq) sendRecords(tx, updated, [newest])
  if (result === 'new') push(tx, [signed], 1, link.id)
  refute(tx)
  const now = state.links.get(link.id)
  if (link.dialled && now && hello.root !== tools.digest.root(state.members)) compareDigests(tx, now)
}

/** The dialling end decides whether a link is to be active; the accepting end agrees if it has room. */
function phaseAfterHello(tx: Tx, link: Link, subnet: string, { active, links }: WireBody<'link/hello'>): LinkPhase {
  if (isEnding(link)) return link
  const here = link.dialled ? isActiveHere(link) : active && (isActiveHere(link) || accepts(tx, subnet, links))
  return greeted(here, active)
}

/** Handles a closed socket. The peer may have died, so it is probed at once. */
export function onClosed(tx: Tx, id: string): void {
  const { state, now } = tx
  const link = state.links.get(id)
  if (!link) return
  removeLink(tx, link, link.farewell || 'lost')
  if (isEnding(link) || !isMember(statusOf(state, link.peer))) return
  // Probes over this link cannot be answered any more.
  endProbes(tx, link.peer)
  const isFailedHandshake = link.dialled && link.phase === 'greeting'
  // One failed handshake may be accidental. After a second one the peer is suspected instead of dialled: else it could make this node dial forever.
  if (isFailedHandshake && (state.failedHandshakes.get(link.peer) ?? 0) > now) suspect(tx, link.peer, 'failed')
  else probeMember(tx, link.peer)
  if (isFailedHandshake)
    state.failedHandshakes = state.failedHandshakes.set(link.peer, now + state.config.redialIntervalMs)
}

export function onDialFailed(tx: Tx, { link: id, refused, withheld }: Extract<GossipEvent, { type: 'failed' }>): void {
  const { state } = tx
  const entry = state.dials.get(id)
  state.dials = state.dials.delete(id)
  if (!entry?.target || !isMember(statusOf(state, entry.target)) || linkTo(tx, entry.target)) return
  if (withheld) cancelProbes(tx, entry.target)
  else if (!isLocated(tx, entry.target)) reportFailure(tx, entry.target)
  else if (refused) onRefused(tx, entry.target)
  else probeMember(tx, entry.target)
}

function leadsTo({ endpoints }: GossipState['bootstrapAddresses'][number], address: string): boolean {
  return endpoints.some((endpoint) => formatEndpoint(endpoint) === address)
}

function sendHello(tx: Tx, link: Link): void {
  const { state, tools } = tx
  const { text, signature } = state.self
  const root = tools.digest.root(state.members)
  const links = activeLinks(tx).length
  // The dialling end needs to be told its source address; the accepting end already knows the address that was dialled.
  const { dialled, observedAddress } = link
  const observed = !dialled && observedAddress !== '' && observedAddress.length <= 64 && { observedAddress }
  send(tx, link.id, {
    kind: 'link/hello',
    body: { record: [text, signature], root, active: isActiveHere(link), links, ...observed },
  })
}

/** Returns the subnet of a peer: that of the observed address if it is public, because a record may claim any address. */
function subnetName(observed: string, claimed: string | undefined): string {
  const subnet = subnetOf(observed)
  return subnet.private ? subnetOf(claimed).name : subnet.name
}

/** Rejects a link for lack of room. The peer gets some members to try instead, so that a new node can still join. */
function reject(tx: Tx, link: Link): void {
  const members = Array.from({ length: REFERRALS }, () => sample(tx.state.members, () => random(tx)))
  sendRecords(tx, link, [...new Set(members.filter((signed) => signed !== undefined))])
  send(tx, link.id, { kind: 'link/bye', body: { why: 'full' } })
}

/** Whether, of two simultaneous links, the one that this node dialled is kept. */
function keepsDialled(own: NodeId, other: NodeId): boolean {
  return own < other
}
