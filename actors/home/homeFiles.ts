import { stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { domainsFile, emptyDomains } from '../../protocol/files/domains.ts'
import { emptyGossip, gossipFile } from '../../protocol/files/gossip.ts'
import { emptyIpTable, IP_TABLE_INDENT, ipTableFile } from '../../protocol/files/ipTable.ts'
import { recoverTracked, trackContainersFile, withExtras } from '../../protocol/files/loans.ts'
import { emptyMappings, mappingsFile } from '../../protocol/files/mappings.ts'
import { openGroupStore } from '../groupTracker/groupFile.ts'
import type { HomePaths } from '../homePaths.ts'
import { openStore } from '../store.ts'
import { emptyTrust, trustFile } from '../trust.ts'
import { readLoanExtras } from './loanExtras.ts'

/** How a damaged file is kept, and the entries that were left out of it, if others stay. */
export interface Quarantined {
  quarantinePath: string
  lost?: string[]
}

/** Opens the files of a home that this node writes. Throws `newer_file` and `home_unusable`. */
export async function openFiles(paths: HomePaths) {
  const quarantined = new Map<string, Quarantined>()
  const onDamaged = (path: string) => (quarantinePath: string, lost?: readonly string[]) =>
    quarantined.set(path, { quarantinePath, ...(lost && { lost: [...lost] }) })
  const [trust, gossip, table, loans, groups, mappings, domains] = await Promise.all([
    openStore(paths.trust, { schema: trustFile, empty: emptyTrust, indent: '  ', onDamaged: onDamaged(paths.trust) }),
    openStore(paths.gossip, {
      schema: gossipFile,
      empty: emptyGossip,
      indent: '  ',
      onDamaged: onDamaged(paths.gossip),
    }),
    openStore(paths.ipTable, {
      schema: ipTableFile,
      empty: emptyIpTable,
      indent: IP_TABLE_INDENT,
      onDamaged: onDamaged(paths.ipTable),
    }),
    openStore(paths.trackContainers, {
      schema: trackContainersFile,
      empty: () => trackContainersFile.parse({}),
      indent: '\t',
      recover: recoverTracked,
      onDamaged: onDamaged(paths.trackContainers),
    }),
    openGroupStore(paths.groupTrackContainers, onDamaged(paths.groupTrackContainers)),
    openStore(paths.mappings, {
      schema: mappingsFile,
      empty: emptyMappings,
      indent: '  ',
      onDamaged: onDamaged(paths.mappings),
    }),
    openStore(paths.domains, {
      schema: domainsFile,
      empty: emptyDomains,
      indent: '  ',
      onDamaged: onDamaged(paths.domains),
    }),
  ])
  const extras = await readLoanExtras(paths.trackContainers)
  const restored = withExtras(loans.data, extras)
  if (!isDeepStrictEqual(restored, loans.data)) await loans.write(restored)
  const lost = Object.keys(extras.Loans)
  if (lost.length > 0 && (await isEmptyFile(paths.trackContainers)))
    quarantined.set(paths.trackContainers, { quarantinePath: '', lost })
  /** Resolves when all pending writes are done. */
  const written = async () => {
    await Promise.all([trust, gossip, table, loans, groups, mappings, domains].map((store) => store.settled()))
  }
  return { trust, gossip, table, loans, groups, mappings, domains, quarantined, written }
}

async function isEmptyFile(path: string): Promise<boolean> {
  return stat(path).then(
    ({ size }) => size === 0,
    () => false,
  )
}
