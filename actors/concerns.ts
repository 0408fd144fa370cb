import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { isSelfAt } from '../machines/ipTable/peerTable.ts'
import type { Bus } from '../protocol/bus.ts'
import { PORT } from '../protocol/defaults/node.ts'
import type { BusEvent } from '../protocol/index.ts'
import { isAuthorized, type Rights, relayCapabilities } from '../protocol/rights.ts'
import { createContainerManager } from './containerManager.ts'
import { createDoctor } from './doctor.ts'
import { createDockerEngine } from './engine/dockerEngine.ts'
import { createGossip, type GossipListener } from './gossip.ts'
import { createNearest } from './groupTracker/nearest.ts'
import { createGroupTracker } from './groupTracker.ts'
import { openFiles, type Quarantined } from './home/homeFiles.ts'
import { loanExtrasPath } from './home/loanExtras.ts'
import type { Home } from './home.ts'
import { shipped } from './homePaths.ts'
import type { Identity } from './identity.ts'
import { advertisableAddresses, type ListenAddresses, loopbackOf, ownAddresses } from './ipTable/listening.ts'
import { recoverEndpoints } from './ipTable/recoverEndpoints.ts'
import { createIpTable } from './ipTable.ts'
import type { AddDomain } from './listeners/legacyHttp.ts'
import type { LocalCallers } from './listeners/localCallers.ts'
import type { AcceptFrp } from './listeners/principal.ts'
import { createDialer } from './net/dialer.ts'
import { createKeyOf } from './net/punched/peerKeys.ts'
import { createPunched } from './net/punched.ts'
import { createResolve } from './net/resolve.ts'
import { createLoanRequests } from './pluginRunner/loanRequests.ts'
import { createPluginRunner } from './pluginRunner.ts'
import { createReachability } from './reachability.ts'
import type { DomainNames } from './relay/domainNames.ts'
import { createRelay, type RelayChoices } from './relay.ts'
import { createSpecs } from './specs.ts'
import { createSpeedTester } from './speedTester.ts'
import { sshConfigPath } from './ssh/borrowedFiles.ts'
import { syncSshConfig } from './ssh/sshConfig.ts'
import { type ConcernParts, type Supervised, supervise } from './supervise.ts'
import { createTrust } from './trust.ts'
import { createTurnClient } from './turnClient.ts'

interface ConcernDependencies {
  home: Home
  bus: Bus<BusEvent>
  identity: Identity
  /** Set when the listeners are open. */
  listenAddresses: ListenAddresses
  /** Accepts the gossip links of other nodes. */
  gossipListener: GossipListener
  /** The current rights. */
  rights: () => Rights
  relay: RelayChoices
  /** Takes over the streams that peers open over a punched path. */
  acceptPunched: (stream: Duplex) => void
  /** The token for stock `frps` that the owner names as a relay. */
  viaToken: string
  /** Whether this node shows lent ports under domains. */
  showsDomains: boolean
  localCallers: LocalCallers
  /** Whether to do background work: to read specifications, probe peers and build images. */
  background: boolean
}

type SuperviseOptions = Parameters<typeof supervise>[1]

/** Supervises a concern, of which `node.ts` needs nothing that depends on the machine. */
type ConcernFactory = (options: SuperviseOptions) => Pick<Supervised, 'actor' | 'start' | 'stop'>

/** Opens the files and constructs all concerns in the order in which they are to start, but does not start them. */
export async function openConcerns(dependencies: ConcernDependencies): Promise<{
  concerns: ConcernFactory[]
  /** The files that could not be read. */
  quarantined: ReadonlyMap<string, Quarantined>
  /** Takes over the connections that speak frp. */
  acceptFrp: AcceptFrp
  /** The domains under which lent ports are shown, if they are. */
  names?: DomainNames
  /** Shows a port that a client has under a domain. */
  addDomain: AddDomain
  /** Resolves when the remaining work of the concerns has ended and all files are written. */
  settled(): Promise<void>
}> {
  const { home, bus, identity, listenAddresses, gossipListener, rights, showsDomains, background } = dependencies
  const { paths, config } = home
  const { trust, gossip, table, loans, groups, mappings, domains, quarantined, written } = await openFiles(paths)
  const quarantinedTable = quarantined.get(paths.ipTable)?.quarantinePath
  const { id, name } = identity
  // A process for a single command does not listen, so it has no port and advertises nothing, and a node of another
  // home may use this port.
  const ownEndpoints = () => ({
    port: background ? listenAddresses.port : 0,
    addresses: ownAddresses(listenAddresses),
  })
  const listening = () => ({ host: loopbackOf(listenAddresses), port: background ? listenAddresses.port : 0 })
  const self = () => ({
    id,
    name,
    ...ownEndpoints(),
    advertisable: background ? advertisableAddresses(listenAddresses, { test: config.Test }) : [],
    relaysToAll: background && isAuthorized(rights(), 'anonymous', 'relay'),
  })
  const resolve = createResolve(bus)
  const punched = createPunched({
    ...{ identity, test: config.Test, keyOf: createKeyOf(bus), accept: dependencies.acceptPunched },
    // As over TCP, the listener decides about each request.
    authorize: (peer) => isAuthorized(rights(), peer, 'see'),
  })
  const dialer = createDialer({
    identity,
    test: config.Test,
    punched,
    isSelf: (at) => isSelfAt(ownEndpoints(), at),
    publish: (fact) => bus.publish(fact),
  })
  const borrowed = createGroupTracker({
    store: loans,
    groupStore: groups,
    resolve,
    nearest: createNearest(bus),
    dialer,
    identity,
    paths: { ...paths, extras: loanExtrasPath(paths.trackContainers) },
  })
  const relay = createRelay({
    ...{ identity, rights, choices: dependencies.relay, listenAddresses },
    domains: showsDomains ? domains : undefined,
  })
  const engine = createDockerEngine({})
  const containerManager = createContainerManager({ engine, nodeId: id, imagesDir: paths.images, background })
  const reachability = createReachability({ resolve, dialer, test: config.Test })
  const plugins = createPluginRunner({
    folders: { own: paths.plugins, shipped: shipped.plugins },
    files: paths,
    output: join(home.dir, 'output'),
    ...createLoanRequests(bus),
    env: process.env,
  })
  const sshConfig = syncSshConfig(bus, {
    path: sshConfigPath(home.dir),
    files: paths,
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
        ...(quarantinedTable && { quarantined: quarantinedTable, recovered: await recoverEndpoints(quarantinedTable) }),
      }),
    ),
    toFactory(
      createGossip({
        identity,
        store: gossip,
        capabilities: relayCapabilities(rights(), showsDomains),
        ...(background && { links: { source: gossipListener, dialer } }),
      }),
    ),
    toFactory(reachability),
    toFactory(relay.parts),
    toFactory(createTrust({ store: trust })),
    toFactory(createSpecs({ resolve, dialer, background })),
    toFactory(createSpeedTester({ resolve, dialer })),
    toFactory(containerManager),
    toFactory(borrowed),
    toFactory(plugins),
    toFactory(
      createTurnClient({
        bus,
        store: mappings,
        resolve,
        dialer,
        listening,
        onTunnelled: dependencies.localCallers.tunnelled,
        isBehindNat: background && config.BehindNAT,
        viaToken: dependencies.viaToken,
        punched,
      }),
    ),
    toFactory(
      createDoctor({
        engine,
        imagesDir: paths.images,
        homeDir: home.dir,
        configuredPort: Number(config.ServerPort) || PORT,
        bus,
        resolve,
        dialer,
        listening,
        ownAddresses: () => ownEndpoints().addresses,
      }),
    ),
  ]
  const settled = async () => {
    await punched.close()
    sshConfig.undo()
    const working = [containerManager, borrowed, plugins, reachability]
    await Promise.all([...working.map((each) => each.settled()), sshConfig.idle()])
    await written()
  }
  return {
    concerns,
    quarantined,
    acceptFrp: relay.accept,
    addDomain: relay.addDomain,
    ...(relay.names && { names: relay.names }),
    settled,
  }
}

function toFactory(parts: ConcernParts): ConcernFactory {
  return (options) => supervise(parts, options)
}
