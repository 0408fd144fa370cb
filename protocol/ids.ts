/** Names of things that cross a boundary. Branded strings, so that one kind of id cannot stand in for another. */

/** OpenSSH fingerprint of a node's Ed25519 key, `SHA256:<43 base64 characters>`. */
export type NodeId = string & { readonly brand: 'NodeId' }

/** The engine's container id: 64 lower-case hex digits. */
export type ContainerId = string & { readonly brand: 'ContainerId' }

/**
 * Who asks. `owner` came through the control socket or the same process, a node id through mutual TLS,
 * `anonymous` through plain HTTP.
 */
export type Caller = 'owner' | 'anonymous' | NodeId

/**
 * What every command carries. `requestId` is chosen by whoever asks; the same caller with the same id means the same
 * wish, so a retry is safe.
 */
export interface CommandMeta {
  requestId: string
  caller: Caller
}

/** How a fact that answers a command says that it could not be done. `code` is a key of the catalogue in `errors.ts`. */
export interface Failure {
  code: string
  message: string
}
