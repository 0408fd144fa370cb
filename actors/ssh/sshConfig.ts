import { randomBytes } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Bus, Undo } from '../../protocol/bus.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { SshFiles } from '../../protocol/ssh.ts'
import { shortIds, sshEndpoint } from './inventory.ts'

const HEAD = `# Written by P2PRC and kept in step with what is borrowed: changes made here are lost.
# In ~/.ssh/config, above every "Host" line: Include {path}
`

/**
 * The text of a configuration file for OpenSSH: one entry for each loan, by the first 12 digits of its id and, for each
 * group that it is in, as `<group>-<n>`. A loan whose record ssh may not be given gets a comment instead.
 */
export function sshConfigOf(loans: readonly Loan[], groups: readonly Group[], files: SshFiles): string {
  const aliases = shortIds(loans)
  return loans
    .map((loan) => {
      const alias = aliases.get(loan.ID)
      if (!alias) return ''
      try {
        const { host, port, user, key } = sshEndpoint(loan, files)
        return [
          `Host ${[alias, ...groupAliases(loan.ID, groups)].join(' ')}`,
          `  HostName ${escaped(host)}`,
          `  Port ${port}`,
          `  User ${user}`,
          ...sshOptions(key, files.knownHosts).map((line) => `  ${line}`),
          '',
        ].join('\n')
      } catch {
        return `# ${alias}: its record is damaged\n`
      }
    })
    .join('\n')
}

/** The options that pin the host, and offer the one key where there is one; one a line. */
export function sshOptions(key: string | undefined, knownHosts: string): string[] {
  return [
    ...(key === undefined ? [] : [`IdentityFile "${escaped(key)}"`, 'IdentitiesOnly yes']),
    `UserKnownHostsFile "${escaped(knownHosts)}"`,
    'GlobalKnownHostsFile /dev/null',
    'StrictHostKeyChecking yes',
    // A host key that the container offers later must not be added beside the one that the lender vouched for.
    'UpdateHostKeys no',
  ]
}

/** Puts the text in place in one step, readable by its owner alone, unless it is there already. Throws `disk_failed`. */
export async function writeSshConfig(path: string, text: string): Promise<void> {
  const whole = HEAD.replace('{path}', path) + (text && `\n${text}`)
  if ((await readFile(path, 'utf8').catch(() => '')) === whole) return
  const fresh = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(fresh, whole, { mode: 0o600, flag: 'wx' })
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { force: true })
    throw new AppError('disk_failed', { path, why: error instanceof Error ? error.message : String(error) }, error)
  }
}

export interface SshConfigSource {
  path: string
  files: SshFiles
  /** Told of a file that could not be written; the next change tries again. */
  onError: (error: unknown) => void
}

/**
 * Writes the file whenever the bus says that what is borrowed has changed, which it says at the start too, until `undo`.
 * `idle` waits for the last writing.
 */
export function syncSshConfig(bus: Bus<BusEvent>, source: SshConfigSource): { undo: Undo; idle: () => Promise<void> } {
  const { path, files, onError } = source
  let loans: readonly Loan[] = []
  const groups = new Map<string, Group>()
  let writing = Promise.resolve()
  const write = () => {
    // The text is made when its turn comes, so that the last writing has the last word.
    writing = writing.then(() => writeSshConfig(path, sshConfigOf(loans, [...groups.values()], files))).catch(onError)
  }
  const undos = [
    bus.on('loan.changed', (fact) => {
      loans = fact.loans
      write()
    }),
    bus.on('group.changed', ({ id, group }) => {
      if (group) groups.set(id, group)
      else groups.delete(id)
      write()
    }),
  ]
  return {
    undo: () => {
      for (const undo of undos) undo()
    },
    idle: () => writing,
  }
}

function groupAliases(id: string, groups: readonly Group[]): string[] {
  return groups.flatMap(({ ID, Name, TrackContainer }) => {
    const place = TrackContainer.findIndex((loan) => loan.ID === id)
    // A pattern such as `*` or `!x` in a name would change what other entries mean.
    const safe = (Name || ID).replace(/[^A-Za-z0-9._-]/g, '_').replace(/^-/, '_')
    return place < 0 ? [] : [`${safe}-${place + 1}`]
  })
}

/** ssh expands `%` in these values, and a quote would end them; paths with a quote or a line break are not used. */
function escaped(value: string): string {
  return value.replaceAll('%', '%%').replace(/["\r\n]/g, '')
}
