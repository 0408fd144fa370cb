import type { Revealed } from '../client/types.ts'
import type { ExecResult, MemberFailure, Group as NodeGroup } from '../protocol/groups.ts'
import { portsText, shortId } from './tables.ts'
import { list, type Terminal, table } from './terminal.ts'

/** What a person and a script see of groups. */

type Style = Terminal['style']

/** A group as the client gives it. */
export type Group = Revealed<NodeGroup>

/** P2PRC's record of a group; it writes `null` for no containers, which scripts written for it may look for. */
export function groupDocument({ TrackContainer, ...group }: Group, legacy: boolean): object {
  const members = TrackContainer.map(({ state, ...loan }) => ({ ...loan, ...(state && { State: state }) }))
  return { ...group, TrackContainer: legacy && members.length === 0 ? null : members }
}

export function groupsDocument(groups: readonly Group[], legacy: boolean): object {
  const all = groups.map((group) => groupDocument(group, legacy))
  return { Groups: legacy && all.length === 0 ? null : all }
}

export function groupsTable(groups: readonly Group[], style: Style): string {
  if (groups.length === 0) return 'There is no group. Make one with `p2prc group create`.'
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
  if (TrackContainer.length === 0) return `${list(pairs, style)}\n\nNothing is in it.`
  // Only `show` asks the lenders how they are.
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

/** As much of a group's id as people type: `grp` and the first part of its UUID. */
export function shortGroupId(id: string): string {
  return id.slice(0, 11)
}

/** Why something was not done for one member. */
export function failureLine({ member, message }: MemberFailure): string {
  const name = /^[0-9a-f]{64}$/.test(member) ? shortId(member) : member
  return message.startsWith(`${name} `) ? message : `${name}: ${message}`
}

/** How a command ended in one container where it did not end well. */
export function execLine({ id, exit, failure }: ExecResult): string {
  return `${shortId(id)}: ${failure ? failure.message : `it ended with ${exit}`}`
}
