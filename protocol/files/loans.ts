import { z } from 'zod'
import { containerReply, port } from '../containerManager.ts'
import { loan } from '../loanRecord.ts'
import { goFields, goList, goObject, text } from './go.ts'

/** What a node has borrowed, in P2PRC's shapes (compatibility 2.5): the fields of the facts, read as Go reads them. */

const version = z.number().optional()

// A password belongs to the one reply that brought it and is never read from, or written to, a file.
const noSecret = z.literal('').catch('').default('')

const portRecord = goObject(goFields(port.shape))

const containerRecord = goObject({
  ...goFields(containerReply.shape),
  SSHPassword: noSecret,
  VNCPassword: noSecret,
  Ports: goObject({ Port: goList(portRecord) }).default({ Port: [] }),
  GPU: containerReply.shape.GPU.catch('false').default('false'),
})

/** One record of `trackcontainers.json`. */
export const trackedContainer = goObject({ ...goFields(loan.shape), Container: containerRecord })

export type TrackedContainer = z.infer<typeof trackedContainer>

/** `trackcontainers.json`, written with tabs. 0 bytes and `{}` are an empty one. */
export const trackContainersFile = goObject({ Version: version, TrackContainer: goList(trackedContainer) })

export type TrackContainersFile = z.infer<typeof trackContainersFile>

/** `grouptrackcontainers.json`, written with one space. Groups hold full copies of tracked records. */
export const groupTrackContainersFile = goObject({
  Version: version,
  Groups: goList(
    goObject({
      ID: text,
      TrackContainer: goList(trackedContainer),
      /** Ours, as are those below. */
      Name: z.string().optional().catch(undefined),
      /** The last command and the ids of the members on which it failed. */
      LastCommand: z.array(z.string()).optional().catch(undefined),
      LastFailed: z.array(z.string()).optional().catch(undefined),
    }),
  ),
})

export type GroupTrackContainersFile = z.infer<typeof groupTrackContainersFile>
