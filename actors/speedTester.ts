import PQueue from 'p-queue'
import { fromCallback, fromPromise } from 'xstate'
import { type FlowEmits, type FlowInput, type Pinged, speedTestMachine, type Target } from '../machines/speedTest.ts'
import { speedTesterMachine } from '../machines/speedTester.ts'
import { SPEED } from '../protocol/defaults/speedTester.ts'
import { toAppError, toFailure } from '../protocol/errors.ts'
import { measureKeyedLatency, measurePlainLatency } from './ipTable/latency.ts'
import type { Resolve } from './ipTable.ts'
import { measureLegacyFlow } from './speedTester/legacySpeedClient.ts'
import { type Dial, measureFlow } from './speedTester/speedLink.ts'
import type { ConcernParts } from './supervise.ts'

export interface SpeedTesterDependencies {
  resolve: Resolve
  dial: Dial
}

/** The speed tester: links are measured one after the other, when the owner asks. */
export function createSpeedTester({ resolve, dial }: SpeedTesterDependencies): ConcernParts<typeof speedTesterMachine> {
  const turns = new PQueue({ concurrency: SPEED.ownAtOnce })
  // A crash of the machine stops none of its children, so what they have open heeds the life's own signal too.
  let life: AbortSignal = AbortSignal.abort()
  const during = (signal: AbortSignal) => AbortSignal.any([signal, life])

  const test = speedTestMachine.provide({
    actors: {
      resolve: fromPromise<Target, string>(({ input, signal }) => resolve(input, during(signal))),
      takeTurn: fromCallback<{ type: 'turn.came' }>(({ sendBack }) => {
        const over = new AbortController()
        const ended = during(over.signal)
        const turn = () => {
          if (ended.aborted) return Promise.resolve()
          sendBack({ type: 'turn.came' })
          return new Promise<void>((resolve) => ended.addEventListener('abort', () => resolve(), { once: true }))
        }
        void turns.add(turn)
        return () => over.abort()
      }),
      ping: fromPromise<Pinged, Target>(({ input, signal }) => ping(dial, input, during(signal))),
      flow: fromCallback<FlowEmits, FlowInput>(({ input: { peer, legacy, direction }, sendBack }) => {
        const over = new AbortController()
        const onReport = (mbps: number) => sendBack({ type: 'flow.progress', mbps })
        const options = { direction, onReport, signal: during(over.signal) }
        const measuring = legacy ? measureLegacyFlow(peer, options) : measureFlow(dial, peer, options)
        measuring.then(
          (mbps) => sendBack({ type: 'flow.measured', mbps }),
          (error) => {
            const failure = toFailure(error)
            sendBack({ type: failure.code === 'not_served' ? 'flow.refused' : 'flow.failed', ...failure })
          },
        )
        return () => over.abort()
      }),
    },
  })

  return {
    name: 'speedTester',
    logic: speedTesterMachine.provide({ actors: { test } }),
    input: (signal) => {
      life = signal
      return undefined
    },
    accepts: ['speed.measure', 'request.abandoned'],
  }
}

/** A node that proves no key over TLS, and is not asked for by one, is taken for a Go node. */
async function ping(dial: Dial, to: Target, signal: AbortSignal): Promise<Pinged> {
  try {
    const { id, bestNs, medianNs } = await measureKeyedLatency(dial, to, signal)
    return { id, bestNs, medianNs }
  } catch (error) {
    if (toAppError(error).code !== 'protocol_error' || to.id) throw error
    const { bestNs, medianNs } = await measurePlainLatency(to, signal).catch(() => {
      throw error
    })
    return { bestNs, medianNs }
  }
}
