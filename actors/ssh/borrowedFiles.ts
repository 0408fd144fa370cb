import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { groupTrackContainersFile, trackContainersFile } from '../../protocol/files/loans.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Home } from '../home.ts'

/** Returns the path of the OpenSSH configuration file in a home. */
export function sshConfigPath(dir: string): string {
  return join(dir, 'ssh_config')
}

/**
 * Reads the loans and groups of a home from its files, for programs that ask often: no lender is asked, and nothing is
 * locked or changed. An unreadable file counts as empty here; opening it for writing quarantines it and reports that.
 */
export async function readBorrowed({ dir, paths }: Home) {
  const tracked = trackContainersFile.safeParse(await contentOf(paths.trackContainers))
  const grouped = groupTrackContainersFile.safeParse(await contentOf(paths.groupTrackContainers))
  const loans: Loan[] = tracked.data?.TrackContainer ?? []
  const groups: Group[] = (grouped.data?.Groups ?? []).map((group) => ({ ...group, Name: group.Name ?? '' }))
  return {
    loans,
    groups,
    files: { key: paths.key, knownHosts: paths.knownHosts },
    path: sshConfigPath(dir),
  }
}

async function contentOf(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch {
    return {}
  }
}
