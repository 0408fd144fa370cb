import { readFile, stat } from 'node:fs/promises'
import { namedIn } from '../../machines/ipTable/candidates.ts'
import { BODY_MAX_BYTES, CANDIDATES_MAX } from '../../protocol/defaults.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { parseIpTable } from '../../protocol/ipTableFile.ts'

/**
 * The addresses in a table that was set aside as unreadable: those of its whole entries. They may be wrong, so they are
 * no more than where to look first when the table is rebuilt. Never rejects.
 */
export async function salvage(path: string): Promise<PeerAt[]> {
  try {
    if ((await stat(path)).size > BODY_MAX_BYTES) return []
    const text = await readFile(path, 'utf8')
    // An entry is a flat object; what a torn write left of the last one does not match.
    const entries = (text.match(/\{[^{}]{1,16384}\}/g) ?? []).flatMap((entry) => {
      try {
        return namedIn(parseIpTable(`{"ip_address":[${entry}]}`, path))
      } catch {
        return []
      }
    })
    return entries.slice(0, CANDIDATES_MAX.all)
  } catch {
    return []
  }
}
