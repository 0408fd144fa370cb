import { assign, emit, fromPromise, setup } from 'xstate'
import { CERTIFICATE } from '../../protocol/defaults/relay.ts'

export interface CertificateInput {
  /** The domain. */
  name: string
  /** Milliseconds until the certificate is to be renewed; 0 or less if there is none yet. */
  renewInMs: number
}

/** What an order ends with. */
export interface Issued {
  renewInMs: number
}

/** `why` is the sentence of the authority or of this node. */
export type CertificateEmits =
  | { type: 'certificate.issued'; name: string }
  | { type: 'certificate.failed'; name: string; why: string }

interface Context extends CertificateInput {
  /** Orders that failed since the last one that did not. */
  failures: number
}

/** The certificate of one domain: ordered from an authority, renewed in time, and ordered again after a failure. */
export const certificateMachine = setup({
  types: { context: {} as Context, input: {} as CertificateInput, emitted: {} as CertificateEmits },
  actors: {
    order: fromPromise<Issued, { name: string }>(async () => {
      throw new Error('not provided')
    }),
  },
  guards: {
    isIssued: ({ context }) => context.renewInMs > 0,
    isLastDay: ({ context }) => context.renewInMs <= CERTIFICATE.checkMs,
  },
  delays: {
    // A timer runs for 24 days at most.
    untilCheck: ({ context }) => Math.min(context.renewInMs, CERTIFICATE.checkMs),
    backoff: ({ context: { failures } }) =>
      Math.min(CERTIFICATE.maxBackoffMs, CERTIFICATE.initialBackoffMs * 2 ** Math.min(failures - 1, 16)),
  },
  actions: {
    setRenewal: assign({ renewInMs: (_, { renewInMs }: Issued) => renewInMs, failures: 0 }),
    countDown: assign({ renewInMs: ({ context }) => context.renewInMs - CERTIFICATE.checkMs }),
    countFailure: assign({ failures: ({ context }) => context.failures + 1 }),
    emitIssued: emit(({ context }) => ({ type: 'certificate.issued' as const, name: context.name })),
    emitFailed: emit(({ context }, { error }: { error: unknown }) => ({
      type: 'certificate.failed' as const,
      name: context.name,
      why: error instanceof Error ? error.message : String(error),
    })),
  },
}).createMachine({
  id: 'certificate',
  options: { maxIterations: 1_000 },
  context: ({ input }) => ({ ...input, failures: 0 }),
  initial: 'deciding',
  states: {
    deciding: { always: [{ guard: 'isIssued', target: 'valid' }, { target: 'ordering' }] },
    ordering: {
      invoke: {
        src: 'order',
        input: ({ context }) => ({ name: context.name }),
        onDone: {
          target: 'valid',
          actions: [{ type: 'setRenewal', params: ({ event }) => event.output }, 'emitIssued'],
        },
        onError: {
          target: 'waiting',
          actions: ['countFailure', { type: 'emitFailed', params: ({ event }) => ({ error: event.error }) }],
        },
      },
    },
    valid: {
      after: {
        untilCheck: [
          { guard: 'isLastDay', target: 'ordering' },
          { target: 'valid', reenter: true, actions: 'countDown' },
        ],
      },
    },
    waiting: { after: { backoff: 'ordering' } },
  },
})
