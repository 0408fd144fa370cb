/** How long a TCP and TLS handshake to a peer may take. A far peer needs 1 s; a lost SYN is retried after 1 and 3 s. */
export const CONNECT_TIMEOUT_MS = 5_000

/** How long a peer may stay silent while it answers a command. Its heartbeat comes every `HEARTBEAT_MS`. */
export const SILENCE_TIMEOUT_MS = 15_000

/** How long a Go P2PRC node may take for a plain `/server_info`: it runs `nvidia-smi` on every call. */
export const LEGACY_TIMEOUT_MS = 15_000

/** Longest line of an answer that is read: a reply with 64 ports is 10 KB, the longest IP table 1.8 MB goes elsewhere. */
export const LINE_MAX_BYTES = 1024 * 1024

/** Longest text of another node's failure that is shown. */
export const FAILURE_MAX_CHARACTERS = 1_000

/** Racing the endpoints of one peer (RFC 8305). */
export const DIAL = {
  /** How long one attempt has before the next one starts beside it: the RFC's recommended delay. */
  staggerMs: 250,
  /** Endpoints of one peer that are tried. The table keeps no more of one, and a longer list is an abuse. */
  endpointsMost: 16,
} as const

/** Longest plain `/server_info` that is read: a node's is a few kilobytes. */
export const SERVER_INFO_MAX_BYTES = 64 * 1024
