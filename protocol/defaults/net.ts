/**
 * How long the TCP and TLS handshakes with a peer may take. A distant peer needs 1 s; a lost SYN is resent after 1 and
 * 3 s.
 */
export const CONNECT_TIMEOUT_MS = 5_000

/** How long a peer may stay silent while it answers a command. Its heartbeat comes every `HEARTBEAT_INTERVAL_MS`. */
export const SILENCE_TIMEOUT_MS = 15_000

/** How long a Go P2PRC node may take for a plain `/server_info`: it runs `nvidia-smi` on every call. */
export const LEGACY_TIMEOUT_MS = 15_000

/**
 * Maximum length of a line of an answer. A reply with 64 ports has 10 KB. An IP table of up to 1.8 MB is not read this
 * way.
 */
export const LINE_MAX_BYTES = 1024 * 1024

/** Maximum length of the text of another node's failure. */
export const FAILURE_MAX_CHARS = 1_000

/** Settings for racing the endpoints of one peer (RFC 8305). */
export const DIAL = {
  /** The delay between the starts of two attempts, as the RFC recommends. */
  staggerMs: 250,
  /** The same before a relay, where a punched path is tried first: over its relay that takes a second. */
  punchedLeadMs: 1_000,
  /** Maximum number of endpoints of one peer that are tried. The table keeps no more, so a longer list is an abuse. */
  maxEndpoints: 16,
} as const

/** Maximum size of a plain `/server_info`. That of a node has a few kilobytes. */
export const SERVER_INFO_MAX_BYTES = 64 * 1024
