import { z } from 'zod'
import { containerReply, port } from '../containerManager.ts'
import { loan } from '../loanRecord.ts'
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
export const groupTrackContainersFile = goObject({
  Version: version,
  Groups: goList(
    goObject({
      ID: text,
      TrackContainer: goList(trackedContainer),
      /** This field and those below are not in Go's file. */
      Name: z.string().optional().catch(undefined),
      /** The last command, and the ids of the members on which it failed. */
      LastCommand: z.array(z.string()).optional().catch(undefined),
      LastFailed: z.array(z.string()).optional().catch(undefined),
    }),
  ),
})

export type GroupTrackContainersFile = z.infer<typeof groupTrackContainersFile>
