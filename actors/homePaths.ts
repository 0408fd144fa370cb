import { homedir } from 'node:os'
import { dirname, join, resolve } from 'node:path'

/**
 * Where a home lies, by the environment alone: nothing is read or made, and no library is loaded, so that a command
 * that only talks to a running node starts fast.
 */
export interface HomePaths {
  /** The folder that messages name. */
  dir: string
  config: string
  ipTable: string
  trackContainers: string
  groupTrackContainers: string
  trust: string
  /** What this node has said of itself under which number. */
  gossip: string
  /** The node's Ed25519 key in OpenSSH form, never P2PRC's RSA key. */
  key: string
  publicKey: string
  knownHosts: string
  /** The owner's listener; its folder is 0700. */
  socket: string
  lock: string
  /** Image folders, those that ship: P2PRC's own ones have passwords that everybody knows. */
  images: string
  /** The owner's plugins; those that ship are at `shipped.plugins`. */
  plugins: string
}

/** With `P2PRC` set, that folder in P2PRC's layout; else the XDG folders. */
export function homePaths(env: NodeJS.ProcessEnv): HomePaths {
  return env.P2PRC ? goLayout(resolve(env.P2PRC), env) : xdgLayout(env)
}

function goLayout(dir: string, env: NodeJS.ProcessEnv): HomePaths {
  return {
    dir,
    config: join(dir, 'config.json'),
    ipTable: join(dir, 'p2p/iptable/ip_table.json'),
    trackContainers: join(dir, 'client/trackcontainers/trackcontainers.json'),
    groupTrackContainers: join(dir, 'client/trackcontainers/grouptrackcontainers.json'),
    plugins: join(dir, 'plugin/deploy'),
    ...ownPaths(dir, join(dir, 'run'), env),
  }
}

function xdgLayout(env: NodeJS.ProcessEnv): HomePaths {
  const dir = join(xdg(env.XDG_STATE_HOME, '.local/state'), 'p2prc')
  const runtime = absolute(env.XDG_RUNTIME_DIR)
  return {
    dir,
    config: join(xdg(env.XDG_CONFIG_HOME, '.config'), 'p2prc/config.json'),
    ipTable: join(dir, 'ip_table.json'),
    trackContainers: join(dir, 'trackcontainers.json'),
    groupTrackContainers: join(dir, 'grouptrackcontainers.json'),
    plugins: join(dir, 'plugins'),
    ...ownPaths(dir, runtime ? join(runtime, 'p2prc') : join(dir, 'run'), env),
  }
}

function ownPaths(dir: string, run: string, env: NodeJS.ProcessEnv) {
  return {
    images: shipped.images,
    trust: join(dir, 'trust.json'),
    gossip: join(dir, 'gossip.json'),
    key: join(dir, 'id_ed25519'),
    publicKey: join(dir, 'id_ed25519.pub'),
    knownHosts: join(dir, 'known_hosts'),
    socket: shortSocketPath(join(run, 'control.sock'), env),
    // Beside what it protects: two sessions of one user may have different runtime folders, and cron has none.
    lock: join(dir, 'lock'),
  }
}

/** Longest path of a Unix socket that every system takes: macOS has 104 bytes for it, Linux 108. */
const SOCKET_PATH_MAX_BYTES = 100

function shortSocketPath(socket: string, env: NodeJS.ProcessEnv): string {
  if (Buffer.byteLength(socket) <= SOCKET_PATH_MAX_BYTES) return socket
  // Loaded here alone: it would cost every command 5 ms.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const name = createHash('sha256').update(socket).digest('hex').slice(0, 16)
  const runtime = absolute(env.XDG_RUNTIME_DIR)
  const inRuntime = runtime && join(runtime, 'p2prc', name, 'control.sock')
  if (inRuntime && Buffer.byteLength(inRuntime) <= SOCKET_PATH_MAX_BYTES) return inRuntime
  return join('/tmp', `p2prc-${process.getuid?.() ?? 0}-${name}`, 'control.sock')
}

function xdg(value: string | undefined, fallback: string): string {
  return absolute(value) ?? join(homedir(), fallback)
}

/** The XDG specification says that a relative path is to be ignored. */
function absolute(value: string | undefined): string | undefined {
  return value?.startsWith('/') ? value : undefined
}

/** The folders that ship with the program, which lie beside `actors/` in the source and beside `dist/` when built. */
export const shipped = (() => {
  const root = dirname(import.meta.dirname)
  return { root, images: join(root, 'images'), plugins: join(root, 'plugins') }
})()
