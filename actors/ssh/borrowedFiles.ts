import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { recoverGroups, recoverTracked, withExtras } from '../../protocol/files/loans.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { readLoanExtras } from '../home/loanExtras.ts'
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
  const tracked = recoverTracked(await contentOf(paths.trackContainers))?.data
  const grouped = recoverGroups(await contentOf(paths.groupTrackContainers))?.data
  const loans: Loan[] = tracked ? withExtras(tracked, await readLoanExtras(paths.trackContainers)).TrackContainer : []
  const groups: Group[] = (grouped?.Groups ?? []).map((group) => ({ ...group, Name: group.Name ?? '' }))
  return {
    loans,
    groups,
    files: paths,
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
