import type { NodeId } from '../../protocol/ids.ts'
import { subnetOf } from '../../protocol/net/subnet.ts'
import type { WireBody } from '../../protocol/wire/gossip.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import { markAlive, onRefused, probeMember, suspect } from './failureDetector.ts'
import type { GossipEvent, Link } from './gossipState.ts'
import { closeLink, mergeRecord, newestOf, penalize, removeLink } from './membership.ts'
import { accepts } from './overlay.ts'
import { getEntry, sample } from './shardedMap.ts'
import { compareDigests, push, refute, sendRecords } from './spread.ts'
import { activeLinks, emit, linkTo, random, send, setLink, type Tx } from './tx.ts'

/** The lifecycle of a connection as the step sees it: opened, handshake, closed, or failed. */

/** Members named to a peer that is rejected. */
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
    activeHere: active,
    activeThere: true,
    helloReceived: false,
    subnet: subnetName(address, getEntry(state.members, peer)?.record.addresses[0]),
    seen: address,
    root: '',
    syncAt: 0,
    settled: '',
    settledUntil: 0,
    missing: [],
    bye: '',
    penalties: 0,
    records: full,
    suspicionTokens: full,
    served: full,
    digests: full,
  }
  const isBanned = (state.banned.get(peer) ?? 0) > now
  const old = linkTo(tx, peer)
  // A bootstrap address that leads back to this node is not one.
  if (nodeId === state.self.record.id)
    state.bootstrapAddresses = state.bootstrapAddresses.filter(({ addresses }) => !addresses.includes(address))
  if (nodeId === state.self.record.id || isBanned || (!old && state.links.size >= state.config.socketsMost)) {
    if (!isBanned) reject(tx, link)
    tx.effects.push({ type: 'close', link: id })
    return
  }
  if (dialled && !dialEntry?.target)
    state.bootstrapAddresses = state.bootstrapAddresses.map((entry) =>
      entry.addresses.includes(address) ? { addresses: entry.addresses, id: nodeId } : entry,
    )
  emit(tx, { type: 'link.opened', link: id, id: nodeId, dialled, address })
  if (old && old.dialled !== dialled && winner(state.self.record.id, nodeId) !== dialled) {
    // Both dialled at once: both ends keep the one that the smaller id dialled.
    closeLink(tx, link, 'duplicate')
    if (active) setLink(tx, { ...old, activeHere: true })
    markAlive(tx, peer)
    return
  }
  if (old) closeLink(tx, old, 'duplicate')
  setLink(tx, old ? { ...link, activeHere: link.activeHere || old.activeHere } : link)
  state.linkOf = state.linkOf.set(peer, id)
  // Now that there is a link, a suspect is told about it and can refute.
  markAlive(tx, peer)
  if (dialled) sendHello(tx, link)
}

export function onHello(tx: Tx, link: Link, hello: WireBody<'link/hello'>): void {
  const { state, tools } = tx
  const signed = tools.read(...hello.record)
  if (!signed || signed.record.id !== link.nodeId) {
    penalize(tx, link, 'its hello is not its own record')
    return
  }
  const verdict = mergeRecord(tx, signed, link, 1)
  if (verdict === 'forged') penalize(tx, link, 'its hello is not signed by it')
  if (verdict === 'forged') return
  const current = state.links.get(link.id)
  if (!current) return
  const subnet = subnetName(link.seen, signed.record.addresses[0])
  const activeHere = link.dialled
    ? link.activeHere
    : hello.active && (link.activeHere || accepts(tx, subnet, hello.links))
  const updated = setLink(tx, {
    ...current,
    helloReceived: true,
    activeThere: hello.active,
    activeHere,
    subnet,
    root: hello.root,
  })
  if (!link.dialled && !link.helloReceived) sendHello(tx, updated)
  if (link.dialled && hello.active) state.linkBackoffMs = state.config.roundMs
  if (hello.observedAddress)
    emit(tx, { type: 'gossip.selfAddressObserved', address: hello.observedAddress, by: link.nodeId })
  const newest = newestOf(tx, link.peer)
  if (newest && newest.record.seq > signed.record.seq) sendRecords(tx, updated, [newest])
  if (verdict === 'new') push(tx, [signed], 1, link.id)
  refute(tx)
  const now = state.links.get(link.id)
  if (link.dialled && now && hello.root !== tools.digest.root(state.members)) compareDigests(tx, now)
}

/** A closed socket is a sign: its node may have died, or not. So probe it at once. */
export function onClosed(tx: Tx, id: string): void {
  const { state, now } = tx
  const link = state.links.get(id)
  if (!link) return
  removeLink(tx, link, link.bye || 'lost')
  if (link.bye !== '' || !getEntry(state.members, link.peer)) return
  // Probes over this link will get no answer.
  for (const probe of state.probes.values())
    if (probe.target === link.peer && !probe.indirectFor) state.probes = state.probes.delete(probe.nonce)
  const isFailedHandshake = link.dialled && !link.helloReceived
  // Once may be bad luck. One that does so again is not helped by another dial, and could have this node dial without end.
  if (isFailedHandshake && (state.failedHandshakes.get(link.peer) ?? 0) > now) suspect(tx, link.peer, 'failed')
  else probeMember(tx, link.peer)
  if (isFailedHandshake) state.failedHandshakes = state.failedHandshakes.set(link.peer, now + state.config.redialMs)
}

export function onDialFailed(tx: Tx, id: string, wasRefused: boolean): void {
  const { state } = tx
  const entry = state.dials.get(id)
  state.dials = state.dials.delete(id)
  if (!entry?.target || !getEntry(state.members, entry.target) || linkTo(tx, entry.target)) return
  if (wasRefused) onRefused(tx, entry.target)
  else probeMember(tx, entry.target)
}

function sendHello(tx: Tx, link: Link): void {
  const { state, tools } = tx
  const { text, signature } = state.self
  const root = tools.digest.root(state.members)
  const links = activeLinks(tx).length
  // Where it comes from, as only this end can know; where it was dialled it knows itself.
  const observed = !link.dialled && link.seen !== '' && link.seen.length <= 64 && { observedAddress: link.seen }
  send(tx, link.id, {
    kind: 'link/hello',
    body: { record: [text, signature], root, active: link.activeHere, links, ...observed },
  })
}

/** Where a peer is: by the socket's own word where that is public, since a record may claim anything. */
function subnetName(seen: string, claimed: string | undefined): string {
  const subnet = subnetOf(seen)
  return subnet.private ? subnetOf(claimed).name : subnet.name
}

/** No room here: a few members to try instead, so that a newcomer who knows only this node gets in. */
function reject(tx: Tx, link: Link): void {
  const members = Array.from({ length: REFERRALS }, () => sample(tx.state.members, () => random(tx)))
  sendRecords(tx, link, [...new Set(members.filter((signed) => signed !== undefined))])
  send(tx, link.id, { kind: 'link/bye', body: { why: 'full' } })
}

/** Whether the link that this end dialled is the one to keep. */
function winner(own: NodeId, other: NodeId): boolean {
  return own < other
}
