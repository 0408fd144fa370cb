import { assign, emit, spawnChild } from 'xstate'
import type { NodeId } from '../protocol/ids.ts'
import { outsidePeers } from './reachability/dialBackAnswers.ts'
import {
  confirmed,
  type DialBack,
  reachabilitySetup,
  reachOf,
  unconfirmed,
  withAnswers,
} from './reachability/reachabilitySetup.ts'
import { beginAs, childId, endIfAbandoned, joinIfRepeated } from './requests.ts'

/**
 * Finds out how others can reach this node: peers dial it back, and it dials them back. Nothing else is asked. Where they do not
 * reach it, the router is asked to map its port, and peers confirm that.
 */
export const reachabilityMachine = reachabilitySetup.createMachine({
  id: 'reachability',
  context: ({ input }) => ({
    ...input,
    links: new Map(),
    hosts: [],
    asked: [],
    answers: [],
    endpoints: [],
    mapping: { state: 'unneeded', since: 0 },
    attempt: 0,
    externalPort: 0,
    mapped: null,
    requests: [],
  }),
  entry: emit(({ context }) => ({ type: 'reach.changed', ...reachOf(context) })),
  type: 'parallel',
  states: {
    dialling: {
      initial: 'waiting',
      states: {
        /** Enough peers have answered, or nobody is there to be asked. */
        waiting: {
          always: { guard: 'isSomeoneToAsk', target: 'asking' },
          after: { interval: { target: 'waiting', reenter: true, actions: 'askAnew' } },
        },
        asking: {
          entry: 'markAsked',
          invoke: {
            id: 'requestDialBack',
            src: 'requestDialBack',
            input: ({ context: { asked, port, signal } }) => ({ ids: [asked.at(-1) as NodeId], port, signal }),
            onDone: {
              target: 'paused',
              actions: { type: 'change', params: ({ context, event }) => withAnswers(context, event.output) },
            },
          },
        },
        /** A network that starts has more to do than to confirm what one peer has found. */
        paused: {
          always: { guard: 'isUrgent', target: 'waiting' },
          after: { pause: 'waiting' },
          on: { 'network.changed': 'waiting' },
        },
      },
    },
    mapping: {
      initial: 'unneeded',
      states: {
        unneeded: { always: { guard: 'isMappingNeeded', target: 'held' } },
        /** A mapping is asked of the router, or there is one; it is removed when this state is left. */
        held: {
          always: {
            guard: 'isMappingUnneeded',
            target: 'unneeded',
            actions: { type: 'change', params: { mapped: null, attempt: 0, mapping: { state: 'unneeded', since: 0 } } },
          },
          invoke: {
            id: 'router',
            src: 'router',
            input: ({ context: { port, attempt, signal } }) => ({ port, attempt, signal }),
          },
          on: {
            'router.refused': {
              target: 'refused',
              actions: {
                type: 'change',
                params: ({ event: { code, message, at } }) => ({
                  mapped: null,
                  asked: [],
                  mapping: { state: 'refused', since: at, why: { code, message } },
                }),
              },
            },
          },
          initial: 'requesting',
          states: {
            requesting: {
              on: {
                'router.mapped': {
                  target: 'confirming',
                  actions: {
                    type: 'change',
                    params: ({ event: { externalPort, by, at } }) => ({
                      externalPort,
                      mapping: { state: 'confirming', since: at, by },
                    }),
                  },
                },
              },
            },
            confirming: {
              invoke: {
                id: 'confirmMapping',
                src: 'requestDialBack',
                input: ({ context: { answers, externalPort, signal } }) => ({
                  ids: outsidePeers(answers),
                  port: externalPort,
                  signal,
                }),
                onDone: [
                  {
                    guard: { type: 'isReached', params: ({ event }) => event.output },
                    target: 'confirmed',
                    actions: { type: 'change', params: ({ context, event }) => confirmed(context, event.output) },
                  },
                  {
                    guard: 'isAttemptLeft',
                    target: '#reachability.mapping.held',
                    reenter: true,
                    actions: [
                      assign({ attempt: ({ context }) => context.attempt + 1 }),
                      {
                        type: 'change',
                        params: ({ event }) => ({
                          mapped: null,
                          externalPort: 0,
                          mapping: { state: 'requesting', since: event.output.at },
                        }),
                      },
                    ],
                  },
                  {
                    target: '#reachability.mapping.refused',
                    actions: { type: 'change', params: ({ context, event }) => unconfirmed(context, event.output.at) },
                  },
                ],
              },
            },
            confirmed: {
              after: { interval: 'confirming' },
              on: { 'network.changed': { target: '#reachability.mapping.held', reenter: true } },
            },
          },
        },
        refused: {
          entry: assign({ attempt: 0 }),
          after: { interval: 'unneeded' },
          on: { 'network.changed': 'unneeded' },
        },
      },
    },
  },
  on: {
    'link.opened': {
      actions: assign({ links: ({ context, event }) => new Map(context.links).set(event.link, event.id) }),
    },
    'link.closed': {
      actions: assign({
        links: ({ context, event }) => new Map([...context.links].filter(([at]) => at !== event.link)),
      }),
    },
    'table.selfAddressesChanged': { actions: { type: 'setSelf', params: ({ event }) => event } },
    'reach.show': {
      actions: emit(({ context, event: { requestId } }) => ({ type: 'reach.shown', requestId, ...reachOf(context) })),
    },
    'reach.dialBack': [
      joinIfRepeated,
      {
        actions: [
          beginAs('diallingBack'),
          spawnChild('dialBack', {
            id: ({ event }) => childId((event as DialBack).requestId),
            input: ({ context: { signal }, event }) => ({ command: event as DialBack, signal }),
          }),
        ],
      },
    ],
    'dialBack.ended': { actions: ['reply', { type: 'end', params: ({ event }) => event }] },
    'request.abandoned': endIfAbandoned('diallingBack'),
  },
  options: { maxIterations: 1_000 },
})
