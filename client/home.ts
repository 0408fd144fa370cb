import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

/** Where a home and its control socket lie, by the environment alone: nothing is read or made. */

/** With `P2PRC` set, that folder; else the one of the XDG specification. */
export function homeFolder(env: NodeJS.ProcessEnv): string {
  return env.P2PRC ? resolve(env.P2PRC) : join(xdgFolder(env.XDG_STATE_HOME, '.local/state'), 'p2prc')
}

/** Where the node of this home listens for its owner. */
export function controlSocketPath(env: NodeJS.ProcessEnv): string {
  const runtime = env.P2PRC ? undefined : absolutePath(env.XDG_RUNTIME_DIR)
  const folder = runtime ? join(runtime, 'p2prc') : join(homeFolder(env), 'run')
  return shortSocketPath(join(folder, 'control.sock'), env)
}

/** A folder that a variable of the XDG specification names, or its default below the user's own folder. */
export function xdgFolder(value: string | undefined, fallback: string): string {
  return absolutePath(value) ?? join(homedir(), fallback)
}

/** Longest path of a Unix socket that every system takes: macOS has 104 bytes for it, Linux 108. */
const SOCKET_PATH_MAX_BYTES = 100

function shortSocketPath(socket: string, env: NodeJS.ProcessEnv): string {
  if (Buffer.byteLength(socket) <= SOCKET_PATH_MAX_BYTES) return socket
  // Loaded here alone: it would cost every command 5 ms.
  const { createHash } = process.getBuiltinModule('node:crypto')
  const name = createHash('sha256').update(socket).digest('hex').slice(0, 16)
  const runtime = absolutePath(env.XDG_RUNTIME_DIR)
  const inRuntime = runtime && join(runtime, 'p2prc', name, 'control.sock')
  if (inRuntime && Buffer.byteLength(inRuntime) <= SOCKET_PATH_MAX_BYTES) return inRuntime
  return join('/tmp', `p2prc-${process.getuid?.() ?? 0}-${name}`, 'control.sock')
}

/** The XDG specification says that a relative path is to be ignored. */
function absolutePath(value: string | undefined): string | undefined {
  return value?.startsWith('/') ? value : undefined
}
