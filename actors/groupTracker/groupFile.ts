import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type GroupTrackContainersFile, groupTrackContainersFile, recoverGroups } from '../../protocol/files/loans.ts'
import { openStore, type Store } from '../store.ts'

/**
 * Opens the groups' file. If it does not exist or is empty, the seeds' `grouptrackcontainer.json` beside it is read
 * instead, where there is one; that file is never written.
 */
export async function openGroupStore(
  path: string,
  onDamaged?: (quarantinePath: string, lost?: readonly string[]) => void,
): Promise<Store<GroupTrackContainersFile>> {
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  )
  const seeds = size === 0 ? await readSeeds(join(dirname(path), 'grouptrackcontainer.json')) : undefined
  return openStore(path, {
    schema: groupTrackContainersFile,
    empty: () => seeds ?? groupTrackContainersFile.parse({}),
    indent: ' ',
    recover: recoverGroups,
    ...(onDamaged && { onDamaged }),
  })
}

async function readSeeds(path: string): Promise<GroupTrackContainersFile | undefined> {
  try {
    return groupTrackContainersFile.safeParse(JSON.parse(await readFile(path, 'utf8'))).data
  } catch {
    return undefined
  }
}
