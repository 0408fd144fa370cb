import { emptyGossip, gossipFile } from '../../protocol/files/gossip.ts'
import { emptyIpTable, IP_TABLE_INDENT, ipTableFile } from '../../protocol/files/ipTable.ts'
import { trackContainersFile } from '../../protocol/files/loans.ts'
import { openGroupStore } from '../groupTracker/groupFile.ts'
import type { HomePaths } from '../homePaths.ts'
import { openStore } from '../store.ts'
import { emptyTrust, trustFile } from '../trust.ts'

/** Opens the files of a home that this node writes. Throws `newer_file` and `home_unusable`. */
export async function openFiles(paths: HomePaths) {
  /** Damaged files, each with the path to which it was renamed. */
  const quarantined = new Map<string, string>()
  const onDamaged = (path: string) => (quarantinePath: string) => quarantined.set(path, quarantinePath)
  const [trust, gossip, table, loans, groups] = await Promise.all([
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
      onDamaged: onDamaged(paths.trackContainers),
    }),
    openGroupStore(paths.groupTrackContainers, onDamaged(paths.groupTrackContainers)),
  ])
  /** Resolves when all pending writes are done. */
  const written = async () => {
    await Promise.all([trust, gossip, table, loans, groups].map((store) => store.settled()))
  }
  return { trust, gossip, table, loans, groups, quarantined, written }
}
