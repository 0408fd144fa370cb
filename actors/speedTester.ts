import PQueue from 'p-queue'
import { fromCallback, fromPromise } from 'xstate'
import {
  type FlowEmits,
  type FlowInput,
  type PingResult,
  speedTestMachine,
  type Target,
} from '../machines/speedTest.ts'
import { speedTesterMachine } from '../machines/speedTester.ts'
import { SPEED } from '../protocol/defaults/speedTester.ts'
import { toFailure } from '../protocol/errors.ts'
import type { Dialer } from './net/dialer.ts'
import { measureLatency } from './net/latency.ts'
import type { Resolve } from './net/resolve.ts'
import { measureLegacyFlow } from './speedTester/legacySpeedClient.ts'
import { measureFlow } from './speedTester/speedLink.ts'
import type { ConcernParts } from './supervise.ts'

export interface SpeedTesterDependencies {
  resolve: Resolve
  dialer: Dialer
}

/** Creates the speed tester, which measures links one after another when the owner asks. */
export function createSpeedTester({
  resolve,
  dialer,
}: SpeedTesterDependencies): ConcernParts<typeof speedTesterMachine> {
  const queue = new PQueue({ concurrency: SPEED.maxOwn })
  // A crash of the machine does not stop its children, so their connections also follow the signal of the scope.
  let concernSignal: AbortSignal = AbortSignal.abort()
  const scoped = (signal: AbortSignal) => AbortSignal.any([signal, concernSignal])

  const test = speedTestMachine.provide({
    actors: {
      resolve: fromPromise<Target, string>(({ input, signal }) => resolve(input, scoped(signal))),
      acquireSlot: fromCallback<{ type: 'slot.acquired' }>(({ sendBack }) => {
        const abort = new AbortController()
        const ended = scoped(abort.signal)
        const job = () => {
          if (ended.aborted) return Promise.resolve()
          sendBack({ type: 'slot.acquired' })
          return new Promise<void>((resolve) => ended.addEventListener('abort', () => resolve(), { once: true }))
        }
        void queue.add(job)
        return () => abort.abort()
      }),
      ping: fromPromise<PingResult, Target>(({ input, signal }) => ping(dialer, input, scoped(signal))),
      flow: fromCallback<FlowEmits, FlowInput>(({ input: { peer, legacy, direction }, sendBack }) => {
        const abort = new AbortController()
        const onReport = (mbps: number) => sendBack({ type: 'flow.progress', mbps })
        const options = { direction, onReport, signal: scoped(abort.signal) }
        const measuring = (legacy ? measureLegacyFlow : measureFlow)(dialer, peer, options)
        measuring.then(
          (mbps) => sendBack({ type: 'flow.measured', mbps }),
          (error) => {
            const failure = toFailure(error)
            sendBack({ type: failure.code === 'not_served' ? 'flow.refused' : 'flow.failed', ...failure })
          },
        )
        return () => abort.abort()
      }),
    },
  })

  return {
    name: 'speedTester',
    logic: speedTesterMachine.provide({ actors: { test } }),
    input: (signal) => {
      concernSignal = signal
      return undefined
    },
  }
}

/**
 * Identifies the peer and measures its latency. A peer that proves no key, and is not addressed by one, is taken for
 * a Go node.
 */
async function ping(dialer: Dialer, to: Target, signal: AbortSignal): Promise<PingResult> {
  const connection = await dialer.dial(to, { purpose: 'speed', goNode: 'accepted', signal })
  try {
    const { bestNs, medianNs } = await measureLatency(connection, signal)
    return { ...(connection.peer && { id: connection.peer.id }), endpoint: connection.endpoint, bestNs, medianNs }
  } finally {
    connection.stream.destroy()
  }
}
