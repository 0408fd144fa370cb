import { fromCallback, fromPromise } from 'xstate'
import {
  type DialBackInput,
  type DialBackReply,
  type DialBackRequest,
  type FromDialBack,
  reachabilityMachine,
} from '../machines/reachability.ts'
import type { Dialer } from './net/dialer.ts'
import type { Resolve } from './net/resolve.ts'
import { createDialBack } from './reachability/dialBack.ts'
import { requestDialBack } from './reachability/requestDialBack.ts'
import { openScope } from './scope.ts'
import type { ConcernParts } from './supervise.ts'

export interface ReachabilityDependencies {
  resolve: Resolve
  dialer: Dialer
}

/** Creates the concern that knows how others reach this node. */
export function createReachability({
  resolve,
  dialer,
}: ReachabilityDependencies): ConcernParts<typeof reachabilityMachine> {
  const dialBack = createDialBack(dialer)
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
      },
    }),
    input: (signal, retained) => ({ port: retained['table.selfAddressesChanged']?.port ?? 0, signal }),
    retains: ['table.selfAddressesChanged'],
  }
}
