import type { Revealed } from '../client/types.ts'
import type { ExecResult, MemberFailure, Group as NodeGroup } from '../protocol/groups.ts'
import { portsText, shortId } from './tables.ts'
import { list, type Terminal, table } from './terminal.ts'

/** Renders groups as text for a terminal and as JSON documents for programs. */

type Style = Terminal['style']

/** A group as the client gives it. */
export type Group = Revealed<NodeGroup>

/** A group in P2PRC's JSON shape. Go P2PRC writes `null` for an empty list, and scripts may test for it. */
export function groupDocument({ TrackContainer, ...group }: Group, legacy: boolean): object {
  const members = TrackContainer.map(({ state, ...loan }) => ({ ...loan, ...(state && { State: state }) }))
  return { ...group, TrackContainer: legacy && members.length === 0 ? null : members }
}

export function groupsDocument(groups: readonly Group[], legacy: boolean): object {
  const all = groups.map((group) => groupDocument(group, legacy))
  return { Groups: legacy && all.length === 0 ? null : all }
}

export function groupsTable(groups: readonly Group[], style: Style): string {
  if (groups.length === 0) return 'There is no group. Create one with `p2prc group create`.'
  return table(
    ['ID', 'NAME', 'CONTAINERS', 'LENDER'],
    groups.map(({ ID, Name, TrackContainer }) => [
      shortGroupId(ID),
      Name,
      String(TrackContainer.length),
      [...new Set(TrackContainer.map(({ IpAddress }) => IpAddress))].join(' '),
    ]),
    style,
  )
}

export function groupText({ ID, Name, TrackContainer }: Group, style: Style): string {
  const pairs: [string, string][] = [['Group', ID]]
  if (Name) pairs.push(['Name', Name])
  if (TrackContainer.length === 0) return `${list(pairs, style)}\n\nThe group is empty.`
  // Only `group show` requests the states from the lenders.
  const asked = TrackContainer.some(({ state }) => state !== undefined)
  const members = table(
    ['ID', ...(asked ? ['STATE'] : []), 'LENDER', 'PORTS'],
    TrackContainer.map(({ ID, state, IpAddress, Container }) => [
      shortId(ID),
      ...(asked ? [state ?? '?'] : []),
      IpAddress,
      portsText(Container.Ports.Port),
    ]),
    style,
  )
  return `${list(pairs, style)}\n\n${members}`
}

/** The short form of a group id: `grp` and the first part of its UUID. */
export function shortGroupId(id: string): string {
  return id.slice(0, 11)
}

/** Formats the failure of one member. */
export function failureLine({ member, message }: MemberFailure): string {
  const name = /^[0-9a-f]{64}$/.test(member) ? shortId(member) : member
  return message.startsWith(`${name} `) ? message : `${name}: ${message}`
}

/** Formats the failure of a command in one container. */
export function execLine({ id, exit, failure }: ExecResult): string {
  return `${shortId(id)}: ${failure ? failure.message : `exit code ${exit}`}`
}
