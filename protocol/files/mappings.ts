import { z } from 'zod'
import { domainName } from '../net/domainName.ts'

const port = z.int().min(1).max(65_535)

/** The schema of `mappings.json`: the ports that the owner maps out, and the port outside that each had last. */
export const mappingsFile = z.looseObject({
  version: z.literal(1),
  ports: z.array(
    z.looseObject({
      port,
      protocol: z.enum(['tcp', 'udp']),
      /** 0 before the first relay has lent one. */
      remotePort: z.int().min(0).max(65_535),
      /** The relay that must lend it, as the owner named it. */
      via: z.string().min(1).max(512).optional(),
      /** The name under which the relay shows it. */
      domain: domainName.optional(),
    }),
  ),
})

export type MappingsFile = z.infer<typeof mappingsFile>

export function emptyMappings(): MappingsFile {
  return { version: 1, ports: [] }
}
