import {
  type ContainerManagerCommand,
  type ContainerManagerSays,
  containerManagerCommands,
} from './containerManager.ts'
import type { CommandSpec } from './control.ts'
import { type GossipCommand, type GossipSays, gossipCommands, type MetFact, type PlacedFact } from './gossip.ts'
import { type GroupTrackerCommand, type GroupTrackerSays, groupTrackerCommands } from './groupTracker.ts'
import { type ContactFact, type IpTableCommand, type IpTableSays, ipTableCommands } from './ipTable.ts'
import { type NodeCommand, type NodeSays, nodeCommands } from './node.ts'
import { type PluginRunnerCommand, type PluginRunnerSays, pluginRunnerCommands } from './pluginRunner.ts'
import type { RequestFact } from './request.ts'
import { type SpecsCommand, type SpecsSays, specsCommands } from './specs.ts'
import { type SpeedTesterCommand, type SpeedTesterSays, speedTesterCommands } from './speedTester.ts'
import { type TrustCommand, type TrustSays, trustCommands } from './trust.ts'

/**
 * Start reading here. Everything that may travel on a node's bus: commands tell (imperative, with a `requestId`),
 * facts say what has happened (past tense, echoing the `requestId` they answer). Payloads are flat and JSON-safe.
 */
export type BusEvent = Command | Fact

export type Command =
  | ContainerManagerCommand
  | GossipCommand
  | GroupTrackerCommand
  | IpTableCommand
  | NodeCommand
  | PluginRunnerCommand
  | SpecsCommand
  | SpeedTesterCommand
  | TrustCommand

export type Fact =
  | ContactFact
  | ContainerManagerSays
  | GossipSays
  | GroupTrackerSays
  | IpTableSays
  | MetFact
  | NodeSays
  | PlacedFact
  | PluginRunnerSays
  | RequestFact
  | SpecsSays
  | SpeedTesterSays
  | TrustSays

/** A fact that answers a command. */
export type Answer = Extract<Fact, { requestId: string }>

/** Which concern answers which commands. The concern's name is the name of its slice, its machine and its actor. */
export const commandsByConcern = {
  containerManager: containerManagerCommands,
  gossip: gossipCommands,
  groupTracker: groupTrackerCommands,
  ipTable: ipTableCommands,
  node: nodeCommands,
  pluginRunner: pluginRunnerCommands,
  specs: specsCommands,
  speedTester: speedTesterCommands,
  trust: trustCommands,
} as const satisfies Record<string, Record<string, CommandSpec>>

export type Concern = keyof typeof commandsByConcern

/** Every command with its specification and the concern that answers it. */
export const commands: ReadonlyMap<string, CommandSpec & { concern: Concern }> = new Map(
  Object.entries(commandsByConcern).flatMap(([concern, specs]) =>
    Object.entries(specs).map(([type, spec]) => [type, { ...spec, concern: concern as Concern }] as const),
  ),
)
