import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import { shortOf } from '../../protocol/wire/record.ts'
import type { GossipState } from './gossipState.ts'
import { type Member, type MemberStatus, memberOf, membersOf } from './member.ts'

/**
 * Gossip's state for a person to look at: its links with their phases, its members with their statuses. The state itself
 * has signed records in shards and memories of all kinds, far more than anybody wants to read.
 */
export function gossipView({ state, requests }: { state: GossipState; requests: object }): object {
  const { self, links, dials, probes, banned, localHealth, left } = state
  const nameOf = (short: ReturnType<typeof shortOf>) => memberOf(state, short)?.signed.record.name
  const count: Record<MemberStatus, number> = { alive: 0, suspected: 0, left: 0, dead: 0 }
  const members: object[] = []
  for (const member of membersOf(state)) {
    count[member.status] += 1
    members.push(memberView(member))
  }
  return {
    self: { id: self.record.id, name: self.record.name, seq: self.record.seq, left },
    localHealth,
    links: [
      ...dials.values().map(({ id, phase, target, endpoint, active }) => ({
        id,
        phase,
        ...(target && { name: nameOf(target) }),
        ...(endpoint && { address: formatEndpoint(endpoint) }),
        active,
      })),
      ...links.values().map(({ id, phase, nodeId, dialled, observedAddress, activeAt, farewell }) => ({
        id,
        phase,
        name: nameOf(shortOf(nodeId)),
        address: observedAddress,
        peer: nodeId,
        dialled,
        activeAt,
        ...(farewell && { farewell }),
      })),
    ],
    count,
    requests,
    probes: probes.size,
    banned: banned.size,
    members,
  }
}

function memberView(member: Member): object {
  const { id, name, seq } = member.signed.record
  const row = { id, name, status: member.status, seq }
  if (member.status !== 'suspected') return row
  const { by, ownResult } = member.suspicion
  return { ...row, suspectedBy: by.length, ownResult }
}
