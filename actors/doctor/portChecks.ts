import { readdir, readFile, readlink } from 'node:fs/promises'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { withoutControlCharacters } from '../../client/text.ts'
import { PING_PATH } from '../../protocol/control.ts'
import { PING_TIMEOUT_MS } from '../../protocol/defaults/doctor.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { broken, type CheckResult, ok, type Subject } from './check.ts'

/** Whether this node listens, and if not, who holds its port. */
export async function checkPort({ listening, configuredPort, signal }: Subject): Promise<CheckResult> {
  if (listening.port > 0) {
    const where = formatAddress(listening)
    const failed = await pingFailure(listening, signal)
    if (failed === undefined) return ok(`This node listens and answers at ${where}`)
    return broken(`This node does not answer at ${where}: ${failed}`, 'Restart it with `p2prc stop` and `p2prc start`.')
  }
  if (await isFree(configuredPort)) return broken('No node runs on this home', 'Start one with `p2prc start`.')
  const holder = await holderOf(configuredPort)
  return broken(
    `No node runs on this home, and port ${configuredPort} is held by ${holder ?? 'another program'}`,
    'Stop that program, or start the node on another port with `p2prc start --port PORT`.',
  )
}

function pingFailure({ host, port }: Subject['listening'], signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sent = get({ host, port, path: PING_PATH, signal, agent: false, timeout: PING_TIMEOUT_MS }, (response) => {
      response.resume().once('end', () => resolve(undefined))
    })
    sent.once('timeout', () => sent.destroy(new Error(`no answer within ${PING_TIMEOUT_MS / 1_000} s`)))
    sent.once('error', (error) => resolve(error.message))
  })
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}

/** The state of a socket that listens, in `/proc/net/tcp`. */
const LISTEN = '0A'

/** Returns the process that listens on a port of this machine; undefined where the system does not say. */
export async function holderOf(port: number): Promise<string | undefined> {
  const inodes = new Set(
    (await Promise.all(['/proc/net/tcp', '/proc/net/tcp6'].map((path) => listeners(path, port)))).flat(),
  )
  if (inodes.size === 0) return undefined
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => [])
    for (const descriptor of descriptors) {
      const link = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => '')
      if (!inodes.has(link)) continue
      const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
      return `process ${pid} (${withoutControlCharacters(name).trim()})`
    }
  }
  return undefined
}

/** Returns the sockets that listen on the port, in the form of the links in `/proc/PID/fd`. */
async function listeners(path: string, port: number): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '')
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  return text.split('\n').flatMap((line) => {
    const [, local = '', , state, , , , , , inode] = line.trim().split(/\s+/)
    return local.endsWith(`:${hex}`) && state === LISTEN && inode ? [`socket:[${inode}]`] : []
  })
}
