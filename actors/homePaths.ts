import { dirname, join } from 'node:path'
import { controlSocketPath, homeFolder, xdgFolder } from '../client/home.ts'

/**
 * The paths of a home, which follow from the environment alone. Nothing is read or made and no library is loaded, so that a
 * command that only talks to a running node starts fast.
 */
export interface HomePaths {
  /** The folder that messages mention. */
  dir: string
  config: string
  ipTable: string
  trackContainers: string
  groupTrackContainers: string
  trust: string
  /** What this node has said of itself under which number. */
  gossip: string
  /** The ports that the owner shows to the outside. */
  mappings: string
  /** Whose each domain is that this node shows. */
  domains: string
  /** The node's Ed25519 key in OpenSSH form, which is not P2PRC's RSA key. */
  key: string
  publicKey: string
  /** The host keys that lenders reported. */
  knownHosts: string
  /** The host keys that ssh accepted at the first connection, because no lender reported them. */
  acceptedHosts: string
  /** The private key with which Go P2PRC borrowed in this home, if there is one. */
  goKey?: string
  /** The control socket. The mode of its folder is 0700. */
  socket: string
  lock: string
  /** Image folders, those that ship: P2PRC's own ones have passwords that everybody knows. */
  images: string
  /** The owner's plugins; those that ship are at `shipped.plugins`. */
  plugins: string
}

/** Returns the paths of a home: the folder `P2PRC` in P2PRC's layout if it is set, else the XDG folders. */
export function homePaths(env: NodeJS.ProcessEnv): HomePaths {
  return env.P2PRC ? goLayout(homeFolder(env), env) : xdgLayout(homeFolder(env), env)
}

function goLayout(dir: string, env: NodeJS.ProcessEnv): HomePaths {
  return {
    dir,
    config: join(dir, 'config.json'),
    ipTable: join(dir, 'p2p/iptable/ip_table.json'),
    trackContainers: join(dir, 'client/trackcontainers/trackcontainers.json'),
    groupTrackContainers: join(dir, 'client/trackcontainers/grouptrackcontainers.json'),
    plugins: join(dir, 'plugin/deploy'),
    ...ownPaths(dir, env),
  }
}

function xdgLayout(dir: string, env: NodeJS.ProcessEnv): HomePaths {
  return {
    dir,
    config: join(xdgFolder(env.XDG_CONFIG_HOME, '.config'), 'p2prc/config.json'),
    ipTable: join(dir, 'ip_table.json'),
    trackContainers: join(dir, 'trackcontainers.json'),
    groupTrackContainers: join(dir, 'grouptrackcontainers.json'),
    plugins: join(dir, 'plugins'),
    ...ownPaths(dir, env),
  }
}

function ownPaths(dir: string, env: NodeJS.ProcessEnv) {
  return {
    images: shipped.images,
    trust: join(dir, 'trust.json'),
    gossip: join(dir, 'gossip.json'),
    mappings: join(dir, 'mappings.json'),
    domains: join(dir, 'domains.json'),
    key: join(dir, 'id_ed25519'),
    publicKey: join(dir, 'id_ed25519.pub'),
    knownHosts: join(dir, 'known_hosts'),
    acceptedHosts: join(dir, 'known_hosts_accepted'),
    socket: controlSocketPath(env),
    // The lock is beside the state that it protects, because sessions of one user may have different runtime folders, or none.
    lock: join(dir, 'lock'),
  }
}

/** The folders that ship with the program. They are beside `actors/` in the source and beside `dist/` in a build. */
export const shipped = (() => {
  const root = dirname(import.meta.dirname)
  return { root, images: join(root, 'images'), plugins: join(root, 'plugins') }
})()
