import { readFile, stat } from 'node:fs/promises'
import { namedIn } from '../../machines/ipTable/unverified.ts'
import { UNVERIFIED_MAX } from '../../protocol/defaults/ipTable.ts'
import { BODY_MAX_BYTES } from '../../protocol/defaults/listeners.ts'
import { parseIpTable } from '../../protocol/files/ipTable.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'

/**
 * Returns the endpoints in the complete entries of a quarantined table. They may be wrong, so they only say where to
 * probe first when the table is rebuilt. Never rejects.
 */
export async function recoverEndpoints(path: string): Promise<Endpoint[]> {
  try {
    if ((await stat(path)).size > BODY_MAX_BYTES) return []
    const text = await readFile(path, 'utf8')
    // An entry is a flat object. The rest of the last one after a torn write does not match.
    const whole = (text.match(/\{[^{}]{1,16384}\}/g) ?? []).flatMap((entry) => endpointsIn(entry, path))
    return [...whole, ...tornEntry(text, path)].slice(0, UNVERIFIED_MAX.all)
  } catch {
    return []
  }
}

/** Returns the endpoints in the complete fields of the last, torn entry. */
function tornEntry(text: string, path: string): Endpoint[] {
  const entry = text.slice(text.lastIndexOf('{')).slice(0, 16_384)
  if (entry.includes('}')) return []
  for (let end = entry.length; end > 0; end = entry.lastIndexOf(',', end - 1)) {
    const found = endpointsIn(`${entry.slice(0, end)}}`, path)
    if (found.length > 0) return found
  }
  return []
}

function endpointsIn(entry: string, path: string): Endpoint[] {
  try {
    return namedIn(parseIpTable(`{"ip_address":[${entry}]}`, path)).map(({ endpoint }) => endpoint)
  } catch {
    return []
  }
}
