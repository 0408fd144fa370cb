import { z } from 'zod'

/**
 * The OpenSSH fingerprint of a node's Ed25519 key, `SHA256:<43 base64 characters>`. Ids are branded, so that they
 * cannot be confused.
 */
export const nodeId = z
  .string()
  .regex(/^SHA256:[A-Za-z0-9+/]{43}$/)
  .brand<'NodeId'>()

export type NodeId = z.infer<typeof nodeId>

/** The engine's id of a container: 64 lower-case hex digits. A record that Go P2PRC wrote has 22 letters and digits. */
export const containerId = z.string().brand<'ContainerId'>()

export type ContainerId = z.infer<typeof containerId>

/**
 * Who sends a command: `owner` through the control socket or in the same process, a node id through mutual TLS, or
 * `anonymous` through plain HTTP.
 */
export const caller = z.union([z.enum(['owner', 'anonymous']), nodeId])

export type Caller = z.infer<typeof caller>

/**
 * The fields of every command. The caller chooses `requestId`. A command with the same caller and id is a repetition of
 * the same request, so it is safe to retry.
 */
export const commandMeta = z.object({
  requestId: z.string(),
  caller,
  /** The address of the other end of the caller's connection, where the command needs it (`isObserved`). */
  from: z.string().optional(),
})

export type CommandMeta = z.infer<typeof commandMeta>

/** Why a command failed. `code` is a key of the catalogue in `errorKinds.ts`. */
export const failure = z.object({ code: z.string(), message: z.string() })

export type Failure = z.infer<typeof failure>
