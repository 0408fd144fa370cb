import { z } from 'zod'
import { nodeId } from '../ids.ts'
import { domainName } from '../net/domainName.ts'

/** The schema of `domains.json`: the names under which this node shows ports that it lends, and whose each name is. */
export const domainsFile = z.object({
  version: z.literal(1),
  names: z.array(
    z.object({
      name: domainName,
      /** The node whose key has claimed the name. */
      owner: nodeId,
      /** When it has claimed it, and when it last did so again, in milliseconds since 1970. */
      since: z.number(),
      claimedAt: z.number(),
    }),
  ),
})

/** Returns the content of a missing `domains.json`. */
export function emptyDomains(): DomainsFile {
  return { version: 1, names: [] }
}

export type DomainsFile = z.infer<typeof domainsFile>
