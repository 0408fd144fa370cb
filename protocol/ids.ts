import { z } from 'zod'

/** Names of things that cross a boundary. Branded strings, so that one kind of id cannot stand in for another. */

/** OpenSSH fingerprint of a node's Ed25519 key, `SHA256:<43 base64 characters>`. */
export const nodeId = z
  .string()
  .regex(/^SHA256:[A-Za-z0-9+/]{43}$/)
  .brand<'NodeId'>()

export type NodeId = z.infer<typeof nodeId>

/** The engine's container id: 64 lower-case hex digits. A record that Go P2PRC wrote has 22 letters and digits. */
export const containerId = z.string().brand<'ContainerId'>()

export type ContainerId = z.infer<typeof containerId>

/**
 * Who asks. `owner` came through the control socket or the same process, a node id through mutual TLS,
 * `anonymous` through plain HTTP.
 */
export const caller = z.union([z.enum(['owner', 'anonymous']), nodeId])

export type Caller = z.infer<typeof caller>

/**
 * What every command carries. `requestId` is chosen by whoever asks; the same caller with the same id means the same
 * wish, so a retry is safe.
 */
export const commandMeta = z.object({ requestId: z.string(), caller })

export type CommandMeta = z.infer<typeof commandMeta>

/** How a fact that answers a command says that it could not be done. `code` is a key of the catalogue in `errorKinds.ts`. */
export const failure = z.object({ code: z.string(), message: z.string() })

export type Failure = z.infer<typeof failure>
