import { z } from 'zod'
import { containerReply, port } from '../containerManager.ts'
import { type Loan, loan } from '../loanRecord.ts'
import { goFields, goList, goObject, text } from './go.ts'

/**
 * The files of a node's loans, in P2PRC's form (compatibility 2.5). The fields are those of the facts, read as Go does.
 */

const version = z.number().optional()

// A password exists only in the one reply that delivers it. It is never read from or written to a file.
const noSecret = z.literal('').catch('').default('')

const portRecord = goObject(goFields(port.shape))

const containerRecord = goObject({
  ...goFields(containerReply.shape),
  SSHPassword: noSecret,
  VNCPassword: noSecret,
  Ports: goObject({ Port: goList(portRecord) }).default({ Port: [] }),
  GPU: containerReply.shape.GPU.catch('false').default('false'),
})

/** The schema of one record in `trackcontainers.json`. */
export const trackedContainer = goObject({ ...goFields(loan.shape), Container: containerRecord })

export type TrackedContainer = z.infer<typeof trackedContainer>

/** The schema of `trackcontainers.json`, which is written with tabs. A file with 0 bytes or `{}` has no records. */
export const trackContainersFile = goObject({ Version: version, TrackContainer: goList(trackedContainer) })

export type TrackContainersFile = z.infer<typeof trackContainersFile>

/** The schema of `grouptrackcontainers.json`, which is written with one space. Groups hold full copies of records. */
const groupRecord = goObject({
  ID: text,
  TrackContainer: goList(trackedContainer),
  /** This field and those below are not in Go's file. */
  Name: z.string().optional().catch(undefined),
  /** The last command, and the ids of the members on which it failed. */
  LastCommand: z.array(z.string()).optional().catch(undefined),
  LastFailed: z.array(z.string()).optional().catch(undefined),
})

export const groupTrackContainersFile = goObject({ Version: version, Groups: goList(groupRecord) })

export type GroupTrackContainersFile = z.infer<typeof groupTrackContainersFile>

/** Returns the records of `trackcontainers.json` that can be read, and the ids of the others. */
export function recoverTracked(document: unknown): { data: TrackContainersFile; lost: string[] } | undefined {
  const outer = goObject({ TrackContainer: goList(z.unknown()) }).safeParse(document).data
  if (!outer) return undefined
  const { good, lost } = readable(outer.TrackContainer, trackedContainer)
  const data = trackContainersFile.safeParse({ ...outer, TrackContainer: good }).data
  return data && { data, lost }
}

/** Returns the groups that can be read, with the members that can be read, and the ids of the others. */
export function recoverGroups(document: unknown): { data: GroupTrackContainersFile; lost: string[] } | undefined {
  const outer = goObject({ Groups: goList(z.unknown()) }).safeParse(document).data
  if (!outer) return undefined
  const lostMembers: string[] = []
  const groups = outer.Groups.map((group) => {
    const members = goObject({ TrackContainer: goList(z.unknown()) }).safeParse(group).data
    if (!members) return group
    const { good, lost } = readable(members.TrackContainer, trackedContainer)
    lostMembers.push(...lost)
    return { ...members, TrackContainer: good }
  })
  const { good, lost } = readable(groups, groupRecord)
  const data = groupTrackContainersFile.safeParse({ ...outer, Groups: good }).data
  return data && { data, lost: [...lost, ...lostMembers] }
}

function readable(entries: readonly unknown[], schema: z.ZodType): { good: unknown[]; lost: string[] } {
  const isGood = (entry: unknown) => schema.safeParse(entry).success
  const nameOf = (entry: unknown) => {
    const { data } = goObject({ ID: text }).safeParse(entry)
    return data?.ID.replace(/[^\w.-]/g, '?').slice(0, 64) || `number ${entries.indexOf(entry) + 1}`
  }
  return { good: entries.filter(isGood), lost: entries.filter((entry) => !isGood(entry)).map(nameOf) }
}

const extras = loan.pick({ NodeId: true, Auth: true, KeyFile: true, Endpoint: true }).extend({
  SSHHostKey: containerReply.shape.SSHHostKey.optional(),
  /** By the number of a port inside the container, the plugin that uses it. */
  UsedBy: z.record(z.string(), z.string()).optional(),
})

/** The schema of `loans.json`: by the id of each container, what Go P2PRC drops when it writes `trackcontainers.json`. */
export const loanExtrasFile = z.object({ Version: version, Loans: z.record(z.string(), extras) })

export type LoanExtrasFile = z.infer<typeof loanExtrasFile>

/** Returns what Go P2PRC would drop of these loans. */
export function extrasOf(loans: readonly Loan[]): LoanExtrasFile {
  const entries = loans.map(({ ID, NodeId, Auth, KeyFile, Endpoint, Container: { SSHHostKey, Ports } }) => {
    const used = Ports.Port.flatMap(({ InternalPort, UsedBy }) => (UsedBy ? [[String(InternalPort), UsedBy]] : []))
    const UsedBy = used.length > 0 ? { UsedBy: Object.fromEntries(used) } : {}
    return [ID, { NodeId, Auth, KeyFile, Endpoint, ...(SSHHostKey && { SSHHostKey }), ...UsedBy }] as const
  })
  return { Loans: Object.fromEntries(entries) }
}

/** Returns the file with what Go P2PRC has dropped. A record that names its lender's key was not written by Go. */
export function withExtras(file: TrackContainersFile, { Loans }: LoanExtrasFile): TrackContainersFile {
  const TrackContainer = file.TrackContainer.map((record) => {
    const known = Object.hasOwn(Loans, record.ID) ? Loans[record.ID] : undefined
    if (!known?.NodeId || record.NodeId) return record
    const { SSHHostKey = '', UsedBy = {}, ...fields } = known
    const Port = record.Container.Ports.Port.map((port) => {
      const plugin = UsedBy[port.InternalPort]
      return plugin ? { ...port, UsedBy: plugin } : port
    })
    const Container = { ...record.Container, SSHHostKey, Ports: { ...record.Container.Ports, Port } }
    return { ...record, ...fields, Container }
  })
  return { ...file, TrackContainer }
}
