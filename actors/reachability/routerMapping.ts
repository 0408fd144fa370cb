import { fork } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { extname, join } from 'node:path'
import type { FromRouter, RouterInput } from '../../machines/reachability/reachabilitySetup.ts'
import { ROUTER } from '../../protocol/defaults/reachability.ts'
import { AppError } from '../../protocol/errors.ts'
import { openScope } from '../scope.ts'

const protocols = ['NAT-PMP', 'UPnP'] as const

export type RouterProtocol = (typeof protocols)[number]

export interface RouterTask {
  task: 'map' | 'unmap'
  /** The port of this machine. */
  port: number
  externalPort: number
  /** The protocol by which the port was mapped; if it is absent, all are tried. */
  by?: RouterProtocol
}

const script = join(import.meta.dirname, `routerProcess${extname(import.meta.filename)}`)

/**
 * Has the router told in a process that ends afterwards. Resolves with the protocol that it answered, and with undefined if it
 * did not map the port: there is none, it refuses, or its answers are nonsense.
 */
export function requestRouter(task: RouterTask, signal: AbortSignal): Promise<RouterProtocol | undefined> {
  return new Promise((resolve) => {
    const scope = openScope(signal, ROUTER.taskTimeoutMs)
    const child = fork(script, [JSON.stringify(task)], {
      execArgv: [...process.execArgv, `--max-old-space-size=${ROUTER.memoryMiB}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    let by: RouterProtocol | undefined
    child.once('message', (answer) => {
      by = protocols.find((protocol) => protocol === answer)
    })
    const end = () => {
      scope.end()
      resolve(by)
    }
    // A process that cannot start, or fails, has not mapped the port.
    child.once('error', end)
    child.once('exit', end)
    const kill = () => child.kill('SIGKILL')
    scope.signal.addEventListener('abort', kill, { once: true })
    if (scope.signal.aborted) kill()
  })
}

export interface RouterMappings {
  /**
   * Asks the router to map a port and keeps it mapped: `router.mapped` says that it claims to, `router.refused` that it does
   * not, or no longer. The returned function removes the mapping.
   */
  open(input: RouterInput, emit: (event: FromRouter) => void): () => void
  /** Resolves when every mapping that was to be removed is removed, or the router did not answer in time. */
  settled(): Promise<unknown>
}

export function createRouterMappings(send = requestRouter): RouterMappings {
  const removing = new Set<Promise<unknown>>()
  return {
    open({ port, attempt, signal }, emit) {
      const externalPort = attempt === 0 ? port : randomInt(ROUTER.portMin, ROUTER.portMax + 1)
      const { signal: mine, end } = openScope(signal)
      let by: RouterProtocol | undefined
      let timer: NodeJS.Timeout | undefined
      const map = async () => {
        const answered = await send({ task: 'map', port, externalPort, ...(by && { by }) }, mine)
        by ??= answered
        if (mine.aborted) return
        const at = Date.now()
        if (answered) {
          timer = setTimeout(again, ROUTER.renewMs)
          emit({ type: 'router.mapped', externalPort, by: answered, at })
        } else emit({ type: 'router.refused', ...new AppError('router_refused').toJSON(), at })
      }
      let mapping = map()
      const again = () => {
        mapping = map()
      }
      const close = () => {
        clearTimeout(timer)
        mine.removeEventListener('abort', close)
        end()
        const removed = mapping
          // The router may have mapped the port although its answer did not come in time.
          .then(() => send({ task: 'unmap', port, externalPort, ...(by && { by }) }, new AbortController().signal))
          .finally(() => removing.delete(removed))
        removing.add(removed)
      }
      // Also where the concern crashes, so that xstate calls nothing.
      mine.addEventListener('abort', close)
      return close
    },
    settled: () => Promise.all(removing),
  }
}
