/** Resource limits of one container, so that it cannot starve the lender or other containers. */
export const CONTAINER_LIMITS = {
  /** Share of the machine's cores. */
  cpuShare: 0.5,
  /** Share of the machine's memory. The limit of memory and swap together is the same, so a container gets no swap. */
  memoryShare: 0.25,
  /** Maximum number of processes and threads. It stops a fork bomb, but not the build of a large program. */
  pids: 1_024,
  /** The log that the engine keeps: at most `maxFile` files of `maxSize` each. */
  log: { maxSize: '10m', maxFile: '3' },
  /** Maximum number of open files. Podman refuses to start a container without a number. */
  nofile: { soft: 65_536, hard: 65_536 },
} as const

/** Maximum number of extra ports of one container, TCP and UDP together. Each needs a proxy process of the engine. */
export const EXTRA_PORTS_MAX = 64

/** Maximum number of containers that a node lends at the same time. */
export const CONTAINERS_MAX = 64

/** The range of host ports for containers: above most registered services and below Linux's ephemeral range. */
export const HOST_PORTS = { first: 20_000, last: 32_000 } as const

/** How many times a create tries other ports after the engine has reported a port conflict. */
export const PORT_ATTEMPTS_MAX = 8

/** How long a container's SSH server may take after the start until it sends its banner. */
export const SSH_BANNER_TIMEOUT_MS = 10_000

/** How often a node without an engine looks for one. */
export const ENGINE_RETRY_INTERVAL_MS = 5_000

/** After this many attempts, a minute, there is probably no engine to come back soon, and the interval is the slow one. */
export const ENGINE_RETRIES_FAST = 12
export const ENGINE_SLOW_RETRY_INTERVAL_MS = 30_000

/** How long a stopping node may roll back unfinished containers. The next start rolls back the rest. */
export const ROLL_BACK_TIMEOUT_MS = 5_000

/**
 * How long a container engine may take to report its version before it counts as missing. A healthy one needs 10 ms.
 */
export const ENGINE_CONNECT_TIMEOUT_MS = 5_000

/**
 * How long a pull of the base image may be silent before the node builds the image itself. An unreachable registry is
 * silent.
 */
export const BASE_PULL_SILENCE_TIMEOUT_MS = 10_000

/**
 * The capabilities of root in a container, which suffice to serve SSH and to install packages. SETFCAP is not among
 * them, because it would give `ping` file capabilities that then fail. Podman also needs NET_BIND_SERVICE for port 22.
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

/**
 * The name of the engine's network for containers and of its bridge, shared by all nodes of a machine. At most 15
 * characters.
 */
export const CONTAINER_NETWORK = 'p2prc-net'

/** How many removed containers a node remembers, so that it is no error to remove one twice. Each costs 100 bytes. */
export const REMOVED_MAX = 1_000
