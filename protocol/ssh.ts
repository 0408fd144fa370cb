import { AppError } from './errors.ts'
import type { Loan } from './groupTracker.ts'
import { lenderEndpoint, portEndpoint, sshPort, sshUser } from './loanRecord.ts'
import type { Endpoint } from './net/endpoint.ts'

/** The files that ssh needs to open a shell in a loan. */
export interface SshFiles {
  knownHosts: string
  /** This node's private key. */
  key: string
}

/**
 * Returns the arguments for `ssh`. The destination is the last one, so that a command may follow. The container's host
 * key is pinned, so that ssh neither asks the user nor accepts another key. Records of Go P2PRC have no host key, so
 * ssh asks as usual. Throws `protocol_error` or `bad_address` for a record that is not safe to pass to ssh, because
 * records in older files were never validated.
 */
export function sshArgs(loan: Loan, files: SshFiles): string[] {
  const published = sshPort(loan.Container.Ports)
  const { host, port } = published ? portEndpoint(loan, published) : { ...lenderEndpoint(loan), port: undefined }
  const pinned = loan.Container.SSHHostKey !== ''
  const user = loan.Container.SSHUsername || 'root'
  if (!sshUser.safeParse(user).success || (port !== undefined && !(port > 0 && port < 65_536)))
    throw new AppError('protocol_error', {
      where: host,
      why: `the record of ${loan.ID.slice(0, 12)} names no valid SSH server`,
    })
  return [
    ...keyArgs(loan, files),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...(pinned ? ['-o', `UserKnownHostsFile=${quotedPath(files.knownHosts)}`, '-o', 'StrictHostKeyChecking=yes'] : []),
    `${user}@${host}`,
  ]
}

function keyArgs({ Auth, KeyFile }: Loan, { key }: SshFiles): string[] {
  const file = Auth === 'nodeKey' ? key : KeyFile
  if (Auth === 'password') return ['-o', 'PubkeyAuthentication=no']
  if (!file) return []
  // `-i` does not work for a path with a percent sign: ssh checks the file by its literal path, but expands it
  // afterwards.
  const named = file.includes('%') ? ['-o', `IdentityFile=${quotedPath(file)}`] : ['-i', file]
  return [...named, '-o', 'IdentitiesOnly=yes']
}

/**
 * Escapes a path for ssh's configuration, which splits values at blanks unless quoted, and expands a single percent
 * sign.
 */
function quotedPath(path: string): string {
  const escaped = path.replaceAll('%', '%%').replace(/["\\]/g, '\\$&')
  return /\s|["\\]/.test(path) ? `"${escaped}"` : escaped
}

/** Returns one line that can be pasted into a POSIX shell. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}

/**
 * Returns the `known_hosts` text that pins the host key of every loan. If two have the same address and port, the later
 * wins.
 */
export function knownHostsText(loans: readonly Loan[]): string {
  const lines = new Map<string, string>()
  for (const loan of loans) {
    const { Container } = loan
    if (!Container.SSHHostKey) continue
    const endpoint = sshEndpointOf(loan)
    if (!endpoint) continue
    const { host, port } = endpoint
    const name = port === 22 ? host : `[${host}]:${port}`
    lines.set(name, `${name} ${Container.SSHHostKey.replace(/\s+/g, ' ')}\n`)
  }
  return [...lines.values()].join('')
}

/**
 * Returns undefined for an invalid address, so that one handwritten record does not prevent the others from being
 * pinned.
 */
function sshEndpointOf(loan: Loan): Endpoint | undefined {
  const published = sshPort(loan.Container.Ports)
  try {
    return published && portEndpoint(loan, published)
  } catch {
    return undefined
  }
}
