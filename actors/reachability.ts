import { fromCallback, fromPromise } from 'xstate'
import type {
  DialBackInput,
  DialBackReply,
  DialBackRequest,
  FromDialBack,
  FromRouter,
  RouterInput,
} from '../machines/reachability/reachabilitySetup.ts'
import { reachabilityMachine } from '../machines/reachability.ts'
import type { Dialer } from './net/dialer.ts'
import type { Resolve } from './net/resolve.ts'
import { createDialBack } from './reachability/dialBack.ts'
import { requestDialBack } from './reachability/requestDialBack.ts'
import { createRouterMappings } from './reachability/routerMapping.ts'
import { openScope } from './scope.ts'
import type { ConcernParts } from './supervise.ts'

export interface ReachabilityDependencies {
  resolve: Resolve
  dialer: Dialer
  /** `Test` of `config.json`: nodes on loopback are dialled back too. */
  test?: boolean
}

/**
 * Creates the concern that knows how others reach this node. `settled` resolves when the router has been told that it is to map
 * nothing any more.
 */
export function createReachability({
  resolve,
  dialer,
  test = false,
}: ReachabilityDependencies): ConcernParts<typeof reachabilityMachine> & { settled(): Promise<unknown> } {
  const dialBack = createDialBack(dialer, { test })
  const mappings = createRouterMappings()
  return {
    name: 'reachability',
    logic: reachabilityMachine.provide({
      actors: {
        requestDialBack: fromPromise<DialBackReply, DialBackRequest>(async ({ input }) => ({
          answers: await requestDialBack(input, { resolve, dialer }),
          at: Date.now(),
        })),
        dialBack: fromCallback<FromDialBack, DialBackInput>(({ input, sendBack }) => {
          const { signal, end } = openScope(input.signal)
          void dialBack({ ...input, signal }).then(sendBack)
          return end
        }),
        router: fromCallback<FromRouter, RouterInput>(({ input, sendBack }) => mappings.open(input, sendBack)),
      },
    }),
    input: (signal, retained) => ({ port: retained['table.selfAddressesChanged']?.port ?? 0, signal }),
    retains: ['table.selfAddressesChanged'],
    settled: mappings.settled,
  }
}
