import { join } from 'node:path'
import { isSelfAt } from '../machines/ipTable/peerTable.ts'
import type { Bus } from '../protocol/bus.ts'
import type { BusEvent } from '../protocol/index.ts'
import { createContainerManager } from './containerManager.ts'
import { createDockerEngine } from './engine/dockerEngine.ts'
import { createGossip, type GossipListener } from './gossip.ts'
import { createNearest } from './groupTracker/nearest.ts'
import { createGroupTracker } from './groupTracker.ts'
import { openFiles } from './home/homeFiles.ts'
import type { Home } from './home.ts'
import { shipped } from './homePaths.ts'
import type { Identity } from './identity.ts'
import { advertisableAddresses, type ListenAddresses, ownAddresses } from './ipTable/listening.ts'
import { recoverAddresses } from './ipTable/recoverAddresses.ts'
import { createIpTable } from './ipTable.ts'
import { createDialer } from './net/dialer.ts'
import { createResolve } from './net/resolve.ts'
import { createLoanRequests } from './pluginRunner/loanRequests.ts'
import { createPluginRunner } from './pluginRunner.ts'
import { createSpecs } from './specs.ts'
import { createSpeedTester } from './speedTester.ts'
import { sshConfigPath } from './ssh/borrowedFiles.ts'
import { syncSshConfig } from './ssh/sshConfig.ts'
import { type ConcernParts, type Supervised, supervise } from './supervise.ts'
import { createTrust } from './trust.ts'

interface ConcernDependencies {
  home: Home
  bus: Bus<BusEvent>
  identity: Identity
  /** Filled in when the listeners are open. */
  place: ListenAddresses
  /** Where links of other nodes come in. */
  gossipListener: GossipListener
  /** Whether to look after what nobody has asked for: specifications, peers, images. */
  background: boolean
}

type SuperviseParameters = Parameters<typeof supervise>[1]

/** What node.ts needs of a concern, whatever its machine is. */
type ConcernFactory = (life: SuperviseParameters) => Pick<Supervised, 'actor' | 'start' | 'stop'>

/** Opens the files and constructs every concern, un-started, in the order in which they start. */
export async function openConcerns(dependencies: ConcernDependencies): Promise<{
  concerns: ConcernFactory[]
  /** Files that could not be read, and where each was put. */
  quarantined: ReadonlyMap<string, string>
  /** Resolves when what the concerns left under way has ended and all files are written. */
  settled(): Promise<void>
}> {
  const { home, bus, identity, place, gossipListener, background } = dependencies
  const { paths, config } = home
  const files = { key: paths.key, knownHosts: paths.knownHosts }
  const { trust, gossip, table, loans, groups, quarantined, written } = await openFiles(paths)
  const quarantinedTable = quarantined.get(paths.ipTable)
  const { id, name } = identity
  const self = () => ({
    id,
    name,
    // A single command listens nowhere, so no address is its own: another home's node may well be at them.
    port: background ? place.port : 0,
    addresses: ownAddresses(place),
    advertisable: advertisableAddresses(place, { test: config.Test }),
  })
  const resolve = createResolve(bus)
  const dialer = createDialer({
    identity,
    test: config.Test,
    isSelf: (at) => isSelfAt(self(), at),
    publish: (fact) => bus.publish(fact),
  })
  const borrowed = createGroupTracker({
    store: loans,
    groupStore: groups,
    resolve,
    nearest: createNearest(bus),
    dialer,
    identity,
    paths: files,
  })
  const engine = createDockerEngine({})
  const containerManager = createContainerManager({ engine, nodeId: id, imagesDir: paths.images, background })
  const plugins = createPluginRunner({
    folders: { own: paths.plugins, shipped: shipped.plugins },
    files,
    output: join(home.dir, 'output'),
    ...createLoanRequests(bus),
    env: process.env,
  })
  const sshConfig = syncSshConfig(bus, {
    path: sshConfigPath(home.dir),
    files,
    onError: (error) => process.emitWarning(`ssh_config could not be written: ${String(error)}`),
  })
  const concerns = [
    toFactory(
      createIpTable({
        store: table,
        self,
        dialer,
        test: config.Test,
        watch: background,
        ...(quarantinedTable && { quarantined: quarantinedTable, recovered: await recoverAddresses(quarantinedTable) }),
      }),
    ),
    toFactory(
      createGossip({
        identity,
        store: gossip,
        ...(background && { links: { source: gossipListener, dialer } }),
      }),
    ),
    toFactory(createTrust({ store: trust })),
    toFactory(createSpecs({ resolve, dialer, background })),
    toFactory(createSpeedTester({ resolve, dialer })),
    toFactory(containerManager),
    toFactory(borrowed),
    toFactory(plugins),
  ]
  const settled = async () => {
    sshConfig.undo()
    await Promise.all([containerManager.settled(), plugins.settled(), sshConfig.idle()])
    await written()
  }
  return { concerns, quarantined, settled }
}

function toFactory(parts: ConcernParts): ConcernFactory {
  return (life) => supervise(parts, life)
}
