import type { Command } from '../index.ts'
import { CHECK_TIMEOUT_MS } from './doctor.ts'
import { CONCURRENT_LENDERS_MAX, GROUP_MEMBERS_MAX, LOCATE_TIMEOUT_MS } from './groupTracker.ts'
import { CRAWL } from './ipTable.ts'

/**
 * How long a command may go without a fact that echoes its request, in milliseconds. Progress is such a fact, so for
 * work that reports progress the deadline limits its silence, not its duration. When the deadline passes, the request
 * fails with `timed_out`, and the concern receives `request.abandoned`. Null means no deadline: a person reads a stream
 * or runs a program for as long as they like, and ends it with Ctrl-C. A rule may depend on the payload of the command.
 */
export type Deadline<C extends Command> = number | null | ((command: C) => number | null)

/** For answers from memory. They take this long only if the machine is busy. */
const FROM_MEMORY_MS = 10_000

/** For work that waits for this machine's disk, perhaps behind other changes of the same file. */
const ON_DISK_MS = 60_000

/** For the build of an image: `debootstrap` and package managers may download for minutes without printing a line. */
const BUILD_SILENCE_MS = 900_000

/**
 * For an engine call about one container. Docker may take 10 s to stop one, and several times as long on a busy
 * machine.
 */
const ENGINE_MS = 120_000

/**
 * The maximum cost of reaching another node: resolving it, dialling it, and the silence after which it counts as lost.
 */
const REMOTE_MS = 60_000

/**
 * The deadline of every command, so that `p2prc` and the listeners never wait for an answer that a concern has
 * forgotten.
 */
export const DEADLINES_MS: { readonly [T in Command['type']]: Deadline<Extract<Command, { type: T }>> } = {
  'container.create': BUILD_SILENCE_MS,
  'container.remove': ENGINE_MS,
  // It may have to wait for the engine's first answer.
  'container.list': ENGINE_MS,
  'container.logs': ({ follow }) => (follow ? null : ENGINE_MS),
  'image.build': BUILD_SILENCE_MS,

  // Every check has a timeout of its own, and they run side by side.
  'doctor.examine': 2 * CHECK_TIMEOUT_MS,

  'record.describe': ON_DISK_MS,

  // The lender answers within its own deadline for `container.create`, and reports progress until then.
  'loan.take': BUILD_SILENCE_MS + REMOTE_MS,
  'loan.return': ENGINE_MS + REMOTE_MS,
  // If a thousand lenders are silent for three seconds each, 32 at a time, this takes 96 s.
  'loan.list': ENGINE_MS,
  'loan.listHeld': ENGINE_MS + REMOTE_MS,
  // A lender behind a router is asked where its ports are now.
  'loan.find': LOCATE_TIMEOUT_MS + FROM_MEMORY_MS,
  'loan.logs': ({ follow }) => (follow ? null : ENGINE_MS + REMOTE_MS),
  // If a thousand lenders are silent, 32 at a time, this takes as many times as long.
  'loan.resolve': (GROUP_MEMBERS_MAX / CONCURRENT_LENDERS_MAX) * LOCATE_TIMEOUT_MS + FROM_MEMORY_MS,
  'loan.usePorts': ON_DISK_MS,
  // Each container reports progress. Finding the nearest machines comes first and may need a crawl.
  'group.create': BUILD_SILENCE_MS + REMOTE_MS + CRAWL.timeoutMs,
  'group.list': FROM_MEMORY_MS,
  'group.show': ENGINE_MS,
  'group.add': ON_DISK_MS,
  'group.remove': ON_DISK_MS,
  // There may be a thousand members, eight at a time and without progress; an unreachable lender costs 20 s.
  'group.delete': ({ containers }) => (containers ? 3_600_000 : ON_DISK_MS),
  // The owner's command runs for as long as it likes, and may be silent all the time.
  'group.exec': null,

  // The operating system repeats a query to a silent DNS server for 20 s.
  'peer.resolve': 30_000,
  'peer.add': ON_DISK_MS,
  'peer.showPath': FROM_MEMORY_MS,
  'peer.list': FROM_MEMORY_MS,
  'table.update': CRAWL.timeoutMs + ON_DISK_MS,
  'table.addUnverified': FROM_MEMORY_MS,
  'table.show': FROM_MEMORY_MS,

  'node.show': FROM_MEMORY_MS,
  'actor.list': FROM_MEMORY_MS,

  'plugin.list': ON_DISK_MS,
  'plugin.show': ON_DISK_MS,
  // The run ends at its own timeout; preparation and cleanup take extra time.
  'plugin.run': ({ timeoutMs }) => timeoutMs + ON_DISK_MS,
  // Each call of git has its own, shorter timeout.
  'plugin.pull': 600_000,
  'plugin.remove': ON_DISK_MS,

  // Login, tunnel and confirmation each have a timeout of their own; with `on`, another node does this.
  'port.map': 2 * REMOTE_MS,
  'port.list': REMOTE_MS,
  'port.showNode': FROM_MEMORY_MS,
  'port.unmap': REMOTE_MS,

  // The dial waits for the budget of dials too.
  'reach.dialBack': REMOTE_MS,
  'reach.show': FROM_MEMORY_MS,

  'relay.list': FROM_MEMORY_MS,
  'relay.close': FROM_MEMORY_MS,
  // A process starts.
  'relay.openDht': REMOTE_MS,

  // One reading takes 10 s at most, and the request may arrive during a reading that fails.
  'specs.get': 30_000,
  'specs.request': REMOTE_MS,

  // Speed tests wait in a silent queue, and one with a slow Go node takes two minutes.
  'speed.measure': 600_000,

  'trust.add': ON_DISK_MS,
  'trust.remove': ON_DISK_MS,
  'trust.list': FROM_MEMORY_MS,
}

/** Returns the deadline of a command, in milliseconds after its latest fact; null if it has none. */
export function deadlineOf<C extends Command>(command: C): number | null {
  const rule = DEADLINES_MS[command.type] as Deadline<C>
  return typeof rule === 'function' ? rule(command) : rule
}
