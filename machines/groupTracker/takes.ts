import { CONCURRENT_TAKES_MAX } from '../../protocol/defaults/groupTracker.ts'
import type { CreateCommand } from '../groupCreate.ts'
import type { TakeCommand } from '../loan.ts'
import { begin, inPhase, type Requests, type Tracked } from '../requests.ts'

/** The containers still to be taken. One that is `taking` has a child of its request's name. */
export type Takes = Requests<Tracked<'queued' | 'taking'> & { command: TakeCommand }>

/** The takes that a command asks for: `count` containers, dealt out over `on` in turn; each a request of its own. */
export function takeCommands(command: CreateCommand): TakeCommand[] {
  const { on, count, requestId, caller, key, ports, udpPorts, gpu, image, password, keyFile } = command
  const wanted = on.length === 0 ? 0 : count || on.length
  return Array.from({ length: wanted }, (_, index) => ({
    ...{ type: 'loan.take', caller, key, ports, udpPorts, gpu, image, password, keyFile },
    requestId: `${requestId}/${index + 1}`,
    where: on[index % on.length] as string,
  }))
}

/** The takes of a command, none of them begun. */
export function queueTakes(commands: TakeCommand[]): Takes {
  return commands.reduce<Takes>(
    (takes, command) => begin(takes, { requestId: command.requestId, phase: 'queued', command }),
    [],
  )
}

/** The next takes, as many as may run beside those under way. */
export function startable(takes: Takes): Takes {
  const free = Math.max(0, CONCURRENT_TAKES_MAX - inPhase(takes, 'taking').length)
  return inPhase(takes, 'queued').slice(0, free)
}
