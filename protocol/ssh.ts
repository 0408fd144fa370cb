import { AppError } from './errors.ts'
import type { Loan } from './groupTracker.ts'
import { sshPort, sshUser } from './loanRecord.ts'
import { parseAddress } from './net/address.ts'

/** The files that open a loan's shell. */
export interface SshFiles {
  knownHosts: string
  /** This node's private key. */
  key: string
}

/**
 * Arguments for `ssh`, the destination last, so that a command may follow. The container's host key is pinned: ssh neither
 * asks nor learns. Records of Go P2PRC pin nothing, so there ssh asks as it does anywhere. Throws `protocol_error` or
 * `bad_address` for a record that ssh may not be given: one from an older file was never checked.
 */
export function sshArgs(loan: Loan, files: SshFiles): string[] {
  const { host } = parseAddress(loan.IpAddress)
  const port = sshPort(loan.Container.Ports)
  const pinned = loan.Container.SSHHostKey !== ''
  const user = loan.Container.SSHUsername || 'root'
  if (!sshUser.safeParse(user).success || (port !== undefined && !(port > 0 && port < 65_536)))
    throw new AppError('protocol_error', {
      where: host,
      why: `the record of ${loan.ID.slice(0, 12)} names no possible SSH server`,
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
  // `-i` cannot name a path with a percent sign: it looks for the file as written, then expands it.
  const named = file.includes('%') ? ['-o', `IdentityFile=${quotedPath(file)}`] : ['-i', file]
  return [...named, '-o', 'IdentitiesOnly=yes']
}

/** A path as ssh's configuration reads it: blanks split it and percent signs expand, unless quoted and doubled. */
function quotedPath(path: string): string {
  const escaped = path.replaceAll('%', '%%').replace(/["\\]/g, '\\$&')
  return /\s|["\\]/.test(path) ? `"${escaped}"` : escaped
}

/** One line for a POSIX shell, to be pasted. */
export function shellLine(words: readonly string[]): string {
  return words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`)).join(' ')
}

/** The `known_hosts` text that pins every loan's host key; of two on one address and port the later one counts. */
export function knownHostsText(loans: readonly Loan[]): string {
  const lines = new Map<string, string>()
  for (const { IpAddress, Container } of loans) {
    const port = sshPort(Container.Ports)
    if (port === undefined || !Container.SSHHostKey) continue
    const host = hostOf(IpAddress)
    if (!host) continue
    const name = port === 22 ? host : `[${host}]:${port}`
    lines.set(name, `${name} ${Container.SSHHostKey.replace(/\s+/g, ' ')}\n`)
  }
  return [...lines.values()].join('')
}

/** A record that somebody wrote by hand must not keep the others from being pinned. */
function hostOf(address: string): string | undefined {
  try {
    return parseAddress(address).host
  } catch {
    return undefined
  }
}
