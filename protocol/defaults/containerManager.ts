/** Limits of a container, so that one cannot starve the lender or another container. */
export const CONTAINER_LIMITS = {
  /** Share of the machine's cores. */
  cpuShare: 0.5,
  /** Share of the machine's memory; swap is set equal, so none is added. */
  memoryShare: 0.25,
  /** Processes and threads. A fork bomb stops here; a build of a large program does not. */
  pids: 1_024,
  /** Log kept by the engine: files of `maxSize`, `maxFile` of them. */
  log: { maxSize: '10m', maxFile: '3' },
  /** Open files; Podman refuses to start without a number. */
  nofile: { soft: 65_536, hard: 65_536 },
} as const

/** Extra ports that one container may ask for, tcp and udp together. Each costs the engine a proxy process. */
export const EXTRA_PORTS_MAX = 64

/** Containers that a node lends at one time. */
export const CONTAINERS_MAX = 64

/** Host ports for containers are taken from here: above the registered services, below Linux's ephemeral range. */
export const HOST_PORTS = { first: 20_000, last: 32_000 } as const

/** How often a create tries other ports after the engine reported a clash. */
export const PORT_TRIES = 8

/** How long a container's SSH server may take to answer with its banner after the start. */
export const SSH_BANNER_TIMEOUT_MS = 10_000

/** How often a node without an engine looks for one. */
export const ENGINE_RETRY_MS = 5_000

/** How long a stopping node takes back what it was making. What is left then, its next start takes back. */
export const ROLL_BACK_MS = 5_000

/** How long a container engine may take to say its version before it counts as missing. A healthy one needs 10 ms. */
export const ENGINE_CONNECT_TIMEOUT_MS = 5_000

/** How long pulling the base image may stay silent before it is made here. An unreachable registry says nothing. */
export const BASE_PULL_SILENCE_MS = 10_000

/**
 * What root in a container may still do: log in by SSH and install packages, no more. SETFCAP stays out: it would give
 * `ping` file capabilities that then fail. Podman needs NET_BIND_SERVICE besides, for port 22.
 */
export const CONTAINER_CAPABILITIES = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'KILL',
  'SETGID',
  'SETUID',
  'SYS_CHROOT',
] as const

/** The engine's network for containers and its bridge. One for all nodes of a machine; an interface name has 15 characters. */
export const CONTAINER_NETWORK = 'p2prc-net'

/** Removed containers that a node remembers, so that removing one twice is no error. Each costs 100 bytes. */
export const REMOVED_REMEMBERED = 1_000
