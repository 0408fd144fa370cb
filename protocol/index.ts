import {
  type ContainerManagerCommand,
  type ContainerManagerEmits,
  containerManagerCommands,
  containerManagerFacts,
} from './containerManager.ts'
import type { CommandSpec } from './control.ts'
import { type DialerEmits, dialerFacts } from './dialer.ts'
import { type DoctorCommand, type DoctorEmits, doctorCommands, doctorFacts } from './doctor.ts'
import type { FactSpecs } from './facts.ts'
import { type GossipCommand, type GossipEmits, gossipCommands, gossipFacts } from './gossip.ts'
import {
  type GroupTrackerCommand,
  type GroupTrackerEmits,
  groupTrackerCommands,
  groupTrackerFacts,
} from './groupTracker.ts'
import { type IpTableCommand, type IpTableEmits, ipTableCommands, ipTableFacts } from './ipTable.ts'
import { type NodeCommand, type NodeEmits, nodeCommands, nodeFacts } from './node.ts'
import {
  type PluginRunnerCommand,
  type PluginRunnerEmits,
  pluginRunnerCommands,
  pluginRunnerFacts,
} from './pluginRunner.ts'
import {
  type ReachabilityCommand,
  type ReachabilityEmits,
  reachabilityCommands,
  reachabilityFacts,
} from './reachability.ts'
import { type RelayCommand, type RelayEmits, relayCommands, relayFacts } from './relay.ts'
import { type RequestFact, requestFacts } from './request.ts'
import { type SpecsCommand, type SpecsEmits, specsCommands, specsFacts } from './specs.ts'
import { type SpeedTesterCommand, type SpeedTesterEmits, speedTesterCommands, speedTesterFacts } from './speedTester.ts'
import { type TrustCommand, type TrustEmits, trustCommands, trustFacts } from './trust.ts'
import { type TurnClientCommand, type TurnClientEmits, turnClientCommands, turnClientFacts } from './turnClient.ts'

/**
 * Every event on a node's bus; start reading here. A command requests something: its name is an imperative, and it
 * carries a `requestId`. A fact says what has happened: its name is in the past tense, and it echoes the `requestId` of
 * the command that it answers. Payloads are flat and JSON-safe.
 */
export type BusEvent = Command | Fact

export type Command =
  | ContainerManagerCommand
  | DoctorCommand
  | GossipCommand
  | GroupTrackerCommand
  | IpTableCommand
  | NodeCommand
  | PluginRunnerCommand
  | ReachabilityCommand
  | RelayCommand
  | SpecsCommand
  | SpeedTesterCommand
  | TrustCommand
  | TurnClientCommand

export type Fact =
  | ContainerManagerEmits
  | DialerEmits
  | DoctorEmits
  | GossipEmits
  | GroupTrackerEmits
  | IpTableEmits
  | NodeEmits
  | PluginRunnerEmits
  | ReachabilityEmits
  | RelayEmits
  | RequestFact
  | SpecsEmits
  | SpeedTesterEmits
  | TrustEmits
  | TurnClientEmits

/** A fact that answers a command. */
export type Answer = Extract<Fact, { requestId: string }>

/** The commands that each concern answers. A concern, its slice, its machine and its actor have the same name. */
export const commandsByConcern = {
  containerManager: containerManagerCommands,
  doctor: doctorCommands,
  gossip: gossipCommands,
  groupTracker: groupTrackerCommands,
  ipTable: ipTableCommands,
  node: nodeCommands,
  pluginRunner: pluginRunnerCommands,
  reachability: reachabilityCommands,
  relay: relayCommands,
  specs: specsCommands,
  speedTester: speedTesterCommands,
  trust: trustCommands,
  turnClient: turnClientCommands,
} as const satisfies Record<string, Record<string, CommandSpec>>

/** The facts that each concern emits. The composition root, `node`, also publishes those about requests and dials. */
export const factsByConcern = {
  containerManager: containerManagerFacts,
  doctor: doctorFacts,
  gossip: gossipFacts,
  groupTracker: groupTrackerFacts,
  ipTable: ipTableFacts,
  node: { ...nodeFacts, ...requestFacts, ...dialerFacts },
  pluginRunner: pluginRunnerFacts,
  reachability: reachabilityFacts,
  relay: relayFacts,
  specs: specsFacts,
  speedTester: speedTesterFacts,
  trust: trustFacts,
  turnClient: turnClientFacts,
} as const satisfies Record<Concern, FactSpecs>

export type Concern = keyof typeof commandsByConcern

/** Every command with its specification and the concern that answers it. */
export const commands: ReadonlyMap<string, CommandSpec & { concern: Concern }> = new Map(
  Object.entries(commandsByConcern).flatMap(([concern, specs]) =>
    Object.entries(specs).map(([type, spec]) => [type, { ...spec, concern: concern as Concern }] as const),
  ),
)

/** Every fact with its schema and the concern that emits it. */
export const facts: ReadonlyMap<string, { schema: FactSpecs[string]; concern: Concern }> = new Map(
  Object.entries(factsByConcern).flatMap(([concern, schemas]) =>
    Object.entries(schemas).map(([type, schema]) => [type, { schema, concern: concern as Concern }] as const),
  ),
)
