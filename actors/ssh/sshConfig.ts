import { randomBytes } from 'node:crypto'
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Bus, Undo } from '../../protocol/bus.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { type HostKeyCheck, hostKeyCheck, type SshFiles } from '../../protocol/ssh.ts'
import { diskFailed } from '../home/fileErrors.ts'
import { shortIds, sshEndpoint } from './inventory.ts'

const HEAD = `# Written by P2PRC and kept in step with what is borrowed: changes made here are lost.
# In ~/.ssh/config, above every "Host" line: Include "{path}"
`

/**
 * Returns the text of a configuration file for OpenSSH: one entry for each loan, named by the first 12 digits of its
 * id and, for each group that contains it, `<group>-<n>`. A loan whose record is not safe for ssh gets a comment
 * instead.
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
          ...sshOptions(key, hostKeyCheck(loan, files)).map((line) => `  ${line}`),
          '',
        ].join('\n')
      } catch {
        return `# ${alias}: its record is damaged\n`
      }
    })
    .join('\n')
}

/**
 * Returns the options that check the host key and offer the one private key, if there is one; one option for each line.
 */
export function sshOptions(key: string | undefined, { file, options }: HostKeyCheck): string[] {
  return [
    ...(key === undefined ? [] : [`IdentityFile "${escaped(key)}"`, 'IdentitiesOnly yes']),
    `UserKnownHostsFile "${escaped(file)}"`,
    'GlobalKnownHostsFile /dev/null',
    ...options.map((option) => option.replace('=', ' ')),
    // A host key that the container offers later must not be added beside the one that the lender reported.
    'UpdateHostKeys no',
  ]
}

/**
 * Replaces the file atomically, readable by its owner alone, unless it has this text already. Rejects with
 * `disk_failed`.
 */
export async function writeSshConfig(path: string, text: string): Promise<void> {
  const whole = HEAD.replace('{path}', path) + (text && `\n${text}`)
  if ((await readFile(path, 'utf8').catch(() => '')) === whole) return
  const fresh = `${path}.${randomBytes(6).toString('hex')}`
  try {
    await writeFile(fresh, whole, { mode: 0o600, flag: 'wx' })
    await rename(fresh, path)
  } catch (error) {
    await rm(fresh, { force: true })
    throw diskFailed(path, error)
  }
}

export interface SshConfigSource {
  path: string
  files: SshFiles
  /** Called when the file could not be written; the next change tries again. */
  onError: (error: unknown) => void
}

/**
 * Writes the file at the start and whenever the bus reports a change of the loans or groups, until `undo` is called.
 * `idle` waits for the last write.
 */
export function syncSshConfig(bus: Bus<BusEvent>, source: SshConfigSource): { undo: Undo; idle: () => Promise<void> } {
  const { path, files, onError } = source
  let loans: readonly Loan[] = []
  const groups = new Map<string, Group>()
  let writing = Promise.resolve()
  const write = () => {
    // The text is composed when the write starts, so that the last write has the latest state.
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
    const index = TrackContainer.findIndex((loan) => loan.ID === id)
    // A pattern such as `*` or `!x` in a name would change the meaning of other entries.
    const safe = (Name || ID).replace(/[^A-Za-z0-9._-]/g, '_').replace(/^-/, '_')
    return index < 0 ? [] : [`${safe}-${index + 1}`]
  })
}

/**
 * Escapes a path: ssh expands `%` in these values, and a quote would end them. Paths with a quote or a line break are
 * not used.
 */
function escaped(value: string): string {
  return value.replaceAll('%', '%%').replace(/["\r\n]/g, '')
}
