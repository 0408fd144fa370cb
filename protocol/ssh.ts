import { AppError } from './errors.ts'
import type { Loan } from './groupTracker.ts'
import { lenderEndpoint, loanRef, portEndpoint, sshPort, sshUser } from './loanRecord.ts'
import type { Endpoint } from './net/endpoint.ts'

/** The files that ssh needs to open a shell in a loan. */
export interface SshFiles {
  /** The host keys that lenders reported. */
  knownHosts: string
  /** The host keys that ssh accepted at the first connection, because no lender reported them. */
  acceptedHosts: string
  /** This node's private key. */
  key: string
  /** The private key of Go P2PRC in this home, if it has one, in a file that ssh accepts. */
  goKey?: string | undefined
}

/**
 * Returns the path of the private key that opens a loan, or undefined if it has a password or the key is not known. A
 * record without `Auth` was written by Go P2PRC, which borrows with its own key.
 */
export function sshKey({ Auth, KeyFile }: Loan, { key, goKey }: SshFiles): string | undefined {
  if (Auth === 'password') return undefined
  return Auth === 'nodeKey' ? key : (KeyFile ?? (Auth ? undefined : goKey))
}

/** How ssh checks the host key of one loan. */
export interface HostKeyCheck {
  /** The path for `UserKnownHostsFile`. */
  file: string
  /** The other options, as `Name=value`. */
  options: string[]
}

/**
 * Returns how ssh checks the host key of a loan, so that it never asks. The key that the lender reported is pinned.
 * Records of Go P2PRC have none, so the first key is accepted, and another one is refused later. It is remembered by the
 * id of the container, because the next one on that port has another key. Throws `protocol_error` for an id that is not
 * safe to pass to ssh.
 */
export function hostKeyCheck(loan: Loan, { knownHosts, acceptedHosts }: SshFiles): HostKeyCheck {
  if (!lacksHostKey(loan)) return { file: knownHosts, options: ['StrictHostKeyChecking=yes'] }
  const options = ['StrictHostKeyChecking=accept-new', `HostKeyAlias=${hostKeyAlias(loan)}`, 'HashKnownHosts=no']
  return { file: acceptedHosts, options }
}

/** Returns the loan with the host key that ssh has accepted for it, if `accepted`, the text of that file, has one. */
export function withAcceptedKey(loan: Loan, accepted: string): Loan {
  if (!lacksHostKey(loan)) return loan
  const prefix = `${hostKeyAlias(loan)} `
  const line = accepted.split('\n').find((each) => each.startsWith(prefix))
  return line ? { ...loan, Container: { ...loan.Container, SSHHostKey: line.slice(prefix.length).trim() } } : loan
}

/** Returns whether Go P2PRC wrote the record, which drops the host key. In a record of ours, a missing one is a mistake. */
export function lacksHostKey({ Auth, Container }: Loan): boolean {
  return !Auth && !Container.SSHHostKey
}

function hostKeyAlias({ ID, IpAddress }: Loan): string {
  if (loanRef.safeParse(ID).success) return `p2prc-${ID}`
  throw new AppError('protocol_error', { where: IpAddress.slice(0, 128), why: 'its record names no valid container' })
}

/**
 * Returns the arguments for `ssh`. The destination is the last one, so that a command may follow. Throws
 * `protocol_error` or `bad_address` for a record that is not safe to pass to ssh, because records in older files were
 * never validated.
 */
export function sshArgs(loan: Loan, files: SshFiles): string[] {
  const published = sshPort(loan.Container.Ports)
  const { host, port } = published ? portEndpoint(loan, published) : { ...lenderEndpoint(loan), port: undefined }
  const user = loan.Container.SSHUsername || 'root'
  if (!sshUser.safeParse(user).success || (port !== undefined && !(port > 0 && port < 65_536)))
    throw new AppError('protocol_error', {
      where: host,
      why: `the record of ${loan.ID.slice(0, 12)} names no valid SSH server`,
    })
  const { file, options } = hostKeyCheck(loan, files)
  return [
    ...keyArgs(loan, files),
    ...(port === undefined ? [] : ['-p', String(port)]),
    ...[`UserKnownHostsFile=${quotedPath(file)}`, ...options].flatMap((option) => ['-o', option]),
    `${user}@${host}`,
  ]
}

function keyArgs(loan: Loan, files: SshFiles): string[] {
  const file = sshKey(loan, files)
  if (loan.Auth === 'password') return ['-o', 'PubkeyAuthentication=no']
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
