import type { Command } from '../index.ts'
import { CRAWL } from './ipTable.ts'

/**
 * How long a command may go without a fact that echoes its request, in milliseconds. Progress counts as such a fact, so
 * the deadline of work that reports is about silence, not about the whole. When it passes, whoever sent the request gets
 * `timed_out` and the concern hears `request.abandoned`. Null is no deadline: a person reads a stream or runs a program
 * for as long as they like, and ends it with Ctrl-C. A rule may depend on what the command asks for.
 */
export type Deadline<C extends Command> = number | null | ((command: C) => number | null)

/** What a concern answers from its memory. The time is for a machine that is busy with something else. */
const FROM_MEMORY_MS = 10_000

/** What waits for this machine's disk, perhaps behind other changes of the same file. */
const ON_DISK_MS = 60_000

/** Building an image: `debootstrap` and package managers may download for minutes without printing a line. */
const BUILD_SILENCE_MS = 900_000

/** What the engine does with one container. Docker stops one in 10 s, and a machine under load takes several times that. */
const ENGINE_MS = 120_000

/** What the way to another node costs at most: finding its address, dialing it, and its silence until it counts as gone. */
const REMOTE_MS = 60_000

/** A deadline for every command: `p2prc` and the listeners never wait for an answer that a concern has forgotten. */
export const DEADLINES_MS: { readonly [T in Command['type']]: Deadline<Extract<Command, { type: T }>> } = {
  'container.create': BUILD_SILENCE_MS,
  'container.remove': ENGINE_MS,
  // It may have to wait for the engine's first answer.
  'container.list': ENGINE_MS,
  'container.logs': ({ follow }) => (follow ? null : ENGINE_MS),
  'image.build': BUILD_SILENCE_MS,

  'record.describe': ON_DISK_MS,

  // The lender answers within its own deadline for `container.create`, and reports until then.
  'loan.take': BUILD_SILENCE_MS + REMOTE_MS,
  'loan.return': ENGINE_MS + REMOTE_MS,
  // A thousand lenders, 32 at a time and each of them silent for three seconds, take 96 s.
  'loan.list': ENGINE_MS,
  'loan.find': FROM_MEMORY_MS,
  'loan.logs': ({ follow }) => (follow ? null : ENGINE_MS + REMOTE_MS),
  'loan.resolve': FROM_MEMORY_MS,
  'loan.usePorts': ON_DISK_MS,
  // Every take reports; looking for the nearest machines comes first and may crawl.
  'group.create': BUILD_SILENCE_MS + REMOTE_MS + CRAWL.totalMs,
  'group.list': FROM_MEMORY_MS,
  'group.show': ENGINE_MS,
  'group.add': ON_DISK_MS,
  'group.remove': ON_DISK_MS,
  // A thousand members, eight at a time, without progress: unreachable lenders cost 20 s each.
  'group.delete': ({ containers }) => (containers ? 3_600_000 : ON_DISK_MS),
  // What a person runs on the members takes as long as it takes, and may be silent all the time.
  'group.exec': null,

  // A resolver that does not answer is asked again for 20 s by the system.
  'peer.resolve': 30_000,
  'peer.add': ON_DISK_MS,
  'peer.list': FROM_MEMORY_MS,
  'table.update': CRAWL.totalMs + ON_DISK_MS,
  'table.exchange': FROM_MEMORY_MS,

  'node.show': FROM_MEMORY_MS,
  'actor.list': FROM_MEMORY_MS,

  'plugin.list': ON_DISK_MS,
  'plugin.show': ON_DISK_MS,
  // The run ends itself at its own timeout; preparing and clearing up come on top.
  'plugin.run': ({ timeoutMs }) => timeoutMs + ON_DISK_MS,
  // Each call of git has its own, shorter timeout.
  'plugin.pull': 600_000,
  'plugin.remove': ON_DISK_MS,

  // One reading takes 10 s at most; a request may come in the middle of one that fails.
  'specs.get': 30_000,
  'specs.request': REMOTE_MS,

  // Tests wait for their turn in silence; one of a slow Go node takes two minutes.
  'speed.measure': 600_000,

  'trust.add': ON_DISK_MS,
  'trust.remove': ON_DISK_MS,
  'trust.list': FROM_MEMORY_MS,
}

/** The deadline of this command, in milliseconds after its latest fact; null where it has none. */
export function deadlineOf<C extends Command>(command: C): number | null {
  const rule = DEADLINES_MS[command.type] as Deadline<C>
  return typeof rule === 'function' ? rule(command) : rule
}
