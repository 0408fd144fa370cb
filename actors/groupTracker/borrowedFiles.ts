import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { groupTrackContainersFile, trackContainersFile } from '../../protocol/files/files.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { Home } from '../home.ts'

/** Where the file for OpenSSH lies in a home. */
export function sshConfigPath(dir: string): string {
  return join(dir, 'ssh_config')
}

/**
 * What a home has borrowed, from its files alone, for programs that ask often: no lender is asked, nothing is locked or
 * changed. A file that cannot be read counts as empty here; whoever opens it to write sets it aside and says so.
 */
export async function readBorrowed({ dir, paths }: Home) {
  const tracked = trackContainersFile.safeParse(await contentOf(paths.trackContainers))
  const grouped = groupTrackContainersFile.safeParse(await contentOf(paths.groupTrackContainers))
  const groups = (grouped.data?.Groups ?? []).map((group) => ({ Name: '', ...group })) as unknown as Group[]
  return {
    loans: (tracked.data?.TrackContainer ?? []) as unknown as Loan[],
    groups: groups.map((group) => ({ ...group, Name: typeof group.Name === 'string' ? group.Name : '' })),
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
