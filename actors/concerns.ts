import { join } from 'node:path'
import type { AnyActorLogic } from 'xstate'
import type { Bus } from '../protocol/bus.ts'
import type { BusEvent } from '../protocol/index.ts'
import { createDockerEngine } from './containerManager/dockerEngine.ts'
import { createContainerManager } from './containerManager.ts'
import { sshConfigPath } from './groupTracker/borrowedFiles.ts'
import { createNearest } from './groupTracker/nearest.ts'
import { keepSshConfig } from './groupTracker/sshConfig.ts'
import { createGroupTracker } from './groupTracker.ts'
import { openFiles } from './home/homeFiles.ts'
import type { Home } from './home.ts'
import { shipped } from './homePaths.ts'
import type { Identity } from './identity.ts'
import { ownAddresses, type Place } from './ipTable/listening.ts'
import { salvage } from './ipTable/salvage.ts'
import { createIpTable, createResolve } from './ipTable.ts'
import { announcing, announcingDial } from './peerClient/announce.ts'
import { createPeerClient, dialPeer } from './peerClient.ts'
import { createPluginRunner } from './pluginRunner.ts'
import { createSpecs } from './specs.ts'
import type { Dial } from './speedTester/speedLink.ts'
import { createSpeedTester } from './speedTester.ts'
import { type ConcernParts, type Supervised, supervise } from './supervise.ts'
import { createTrust } from './trust.ts'

interface Surroundings {
  home: Home
  bus: Bus<BusEvent>
  identity: Identity
  /** Filled in when the doors are open. */
  place: Place
  /** Whether to look after what nobody has asked for: specifications, peers, images. */
  background: boolean
}

type Life = Parameters<typeof supervise>[1]

/** What node.ts needs of a concern, whatever its machine is. */
type Joined = (life: Life) => Pick<Supervised<AnyActorLogic>, 'start' | 'stop'>

/** Opens the files and constructs every concern, un-started, in the order in which they start. */
export async function openConcerns({ home, bus, identity, place, background }: Surroundings): Promise<{
  concerns: Joined[]
  /** Files that could not be read, and where each was put. */
  setAside: ReadonlyMap<string, string>
  /** Resolves when what the concerns left under way has ended and all files are written. */
  settled(): Promise<void>
}> {
  const { paths, config } = home
  const files = { key: paths.key, knownHosts: paths.knownHosts }
  const { trust, table, loans, groups, setAside, written } = await openFiles(paths)
  const tableAside = setAside.get(paths.ipTable)
  const { id, name } = identity
  const self = {
    id,
    name,
    addresses: () => ownAddresses(place),
    get port() {
      return place.port
    },
  }
  const resolve = createResolve(bus)
  const peers = announcing(createPeerClient(identity), bus)
  const dial: Dial = (to, signal) => dialPeer(identity, to, signal)
  const borrowed = createGroupTracker({
    store: loans,
    groupStore: groups,
    resolve,
    nearest: createNearest(bus),
    peers,
    identity,
    paths: files,
  })
  const plugins = createPluginRunner({
    folders: { own: paths.plugins, shipped: shipped.plugins },
    files,
    output: join(home.dir, 'output'),
    members: async (ref) => borrowed.members(ref),
    usePorts: (container, ports) => borrowed.loans.usePorts(container, ports),
    env: process.env,
  })
  const sshConfig = keepSshConfig(bus, {
    path: sshConfigPath(home.dir),
    files,
    read: () => ({ loans: borrowed.loans.all(), groups: borrowed.groups.all() }),
    onError: (error) => process.emitWarning(`ssh_config could not be written: ${String(error)}`),
  })
  const concerns = [
    joined(
      createIpTable({
        store: table,
        self,
        peers,
        dial,
        test: config.Test,
        watch: background,
        ...(tableAside && { setAside: tableAside, salvaged: await salvage(tableAside) }),
      }),
    ),
    joined(createTrust({ store: trust })),
    joined(createSpecs({ resolve, peers, background })),
    joined(createSpeedTester({ resolve, dial: announcingDial(dial, bus) })),
    joined(createContainerManager({ engine: createDockerEngine({}), nodeId: id, imagesDir: paths.images, background })),
    joined(borrowed),
    joined(plugins),
  ]
  const settled = async () => {
    sshConfig.undo()
    await Promise.all([plugins.settled(), sshConfig.idle()])
    await written()
  }
  return { concerns, setAside, settled }
}

function joined<L extends AnyActorLogic>(parts: ConcernParts<L>): Joined {
  return (life) => supervise(parts, life)
}
