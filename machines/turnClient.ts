import { not } from 'xstate'
import { AppError } from '../protocol/errors.ts'
import type { RecordMerged } from '../protocol/gossip.ts'
import { isLastWaiterIn, joinIfRepeated, otherwiseLeave } from './requests.ts'
import { type MapRequest, mappingSetup } from './turnClient/mappingSetup.ts'
import {
  type Context,
  contextOf,
  type FromAuthorize,
  type FromSearch,
  type PortMap,
} from './turnClient/turnClientContext.ts'

const addMapping = {
  type: 'addMapping',
  params: ({ event }: { event: PortMap }): MapRequest => ({ command: event }),
} as const

const search = {
  id: 'search',
  src: 'search',
  input: ({ context: { wanted } }: { context: Context }) => ({
    names: Object.values(wanted).flatMap(({ via }) => via ?? []),
  }),
} as const

const onFound = [
  { type: 'hold', params: ({ event }: { event: FromSearch }) => event },
  'logIn',
  'serve',
  { type: 'failUnserved', params: ({ event }: { event: FromSearch }) => event },
] as const

const onAuthorized = [
  { type: 'addMapping', params: ({ event }: { event: FromAuthorize }) => ('command' in event ? event : {}) },
  { type: 'endAuthorizing', params: ({ event }: { event: FromAuthorize }) => event },
  'serve',
] as const

const onRelayMerged = {
  guard: { type: 'isRelay', params: ({ event }: { event: RecordMerged }) => event.record },
  target: 'searching',
} as const

/**
 * Keeps ports of this machine reachable through relays. It logs in at two: one lends the ports, and the idle one takes over
 * as soon as that one is lost; besides at those that the owner named. A mapping counts as open when something sent to the
 * relay's port has arrived here.
 */
export const turnClientMachine = mappingSetup.createMachine({
  id: 'turnClient',
  options: { maxIterations: 1_000 },
  context: ({ input }) => contextOf(input),
  invoke: { id: 'store', src: 'store' },
  initial: 'idle',
  states: {
    /** Nothing is to be reached. */
    idle: { always: { guard: 'isWanted', target: 'reaching' } },
    reaching: {
      always: { guard: not('isWanted'), target: 'idle', actions: 'dropAll' },
      initial: 'discovering',
      states: {
        /** No relay is known: a node that has just started knows nobody yet. */
        discovering: {
          after: { discoveryTimeout: 'searching' },
          initial: 'searching',
          states: {
            searching: {
              invoke: search,
              on: {
                'relays.found': [
                  {
                    guard: { type: 'isNoneKnown', params: ({ event }) => event },
                    target: 'waiting',
                    actions: 'reportNone',
                  },
                  { target: '#turnClient.reaching.loggedIn', actions: onFound },
                ],
              },
            },
            waiting: { after: { searchInterval: 'searching' }, on: { 'record.merged': onRelayMerged } },
          },
        },
        searching: {
          invoke: search,
          on: { 'relays.found': { target: 'loggedIn', actions: onFound } },
        },
        /** Logged in, or about to, at as many relays as were found. */
        loggedIn: {
          after: { searchInterval: { guard: 'isShort', target: 'searching', reenter: true } },
          on: { 'record.merged': onRelayMerged },
        },
      },
    },
  },
  on: {
    'port.map': [
      joinIfRepeated,
      {
        guard: { type: 'isElsewhere', params: ({ event }) => event },
        actions: { type: 'delegate', params: ({ event }) => event },
      },
      { guard: 'listensNowhere', actions: { type: 'refuse', params: ({ event }) => event } },
      {
        guard: { type: 'isPeer', params: ({ event }) => event },
        actions: { type: 'authorize', params: ({ event }) => event },
      },
      {
        guard: { type: 'namesFirstRelay', params: ({ event }) => event },
        target: '.reaching',
        actions: [addMapping, 'serve', 'save'],
      },
      {
        guard: { type: 'needsSearch', params: ({ event }) => event },
        target: '.reaching.searching',
        actions: [addMapping, 'serve', 'save'],
      },
      { actions: [addMapping, 'serve', 'save'] },
    ],
    'authorize.ended': [
      {
        guard: ({ event }) => 'failure' in event,
        actions: { type: 'endAuthorizing', params: ({ event }) => event },
      },
      {
        guard: { type: 'needsDomainRelay', params: ({ event }) => event },
        target: '.reaching.searching',
        actions: onAuthorized,
      },
      { actions: onAuthorized },
    ],
    'port.list': [
      {
        guard: { type: 'isElsewhere', params: ({ event }) => event },
        actions: { type: 'delegate', params: ({ event }) => event },
      },
      { actions: { type: 'list', params: ({ event }) => event } },
    ],
    'port.showNode': { actions: { type: 'showNode', params: ({ event }) => event } },
    'port.unmap': [
      {
        guard: { type: 'isElsewhere', params: ({ event }) => event },
        actions: { type: 'delegate', params: ({ event }) => event },
      },
      { actions: [{ type: 'unmap', params: ({ event }) => event }, 'dropUnneeded', 'save'] },
    ],
    'delegate.ended': { actions: { type: 'answerDelegated', params: ({ event }) => event } },
    // What peers find when they dial back supersedes what the owner said.
    'reach.changed': [
      { guard: ({ event }) => event.state === 'unreachable', actions: ['mapNode', 'serve'] },
      { guard: ({ event }) => event.state === 'reachable', actions: 'dropNode' },
    ],
    'container.removed': { actions: { type: 'dropOfContainer', params: ({ event }) => event } },
    'container.changed': {
      guard: ({ event }) => event.state === 'gone',
      actions: { type: 'dropOfContainer', params: ({ event }) => event },
    },
    'request.abandoned': [
      {
        guard: isLastWaiterIn('mapping'),
        actions: [{ type: 'abandon', params: ({ event }) => event }, 'dropUnneeded', 'save'],
      },
      {
        guard: isLastWaiterIn('authorizing', 'delegating'),
        actions: { type: 'end', params: ({ event }) => event },
      },
      otherwiseLeave,
    ],
    'session.activated': {
      actions: [
        { type: 'setRelay', params: ({ event }) => ({ relay: event.relay, state: 'active', why: '' }) },
        'dropUnneeded',
        'serve',
      ],
    },
    'session.lost': {
      actions: [
        { type: 'setRelay', params: ({ event }) => ({ ...event, state: 'lost' }) },
        'logIn',
        'serve',
        { type: 'failUnserved', params: {} },
      ],
    },
    'session.refused': {
      actions: [
        { type: 'setRelay', params: ({ event }) => ({ ...event, state: 'refused' }) },
        'logIn',
        'serve',
        { type: 'failUnserved', params: {} },
      ],
    },
    'punched.opened': { actions: [{ type: 'setPunched', params: ({ event }) => event }, 'emitNode'] },
    'punched.closed': { actions: [{ type: 'setPunched', params: ({ event }) => event }, 'emitNode'] },
    'tunnel.opened': { actions: [{ type: 'confirmOpened', params: ({ event }) => event }, 'save'] },
    'tunnel.refused': [
      {
        guard: { type: 'hadPort', params: ({ event }) => event },
        actions: { type: 'openElsewhere', params: ({ event }) => event },
      },
      {
        actions: {
          type: 'fail',
          params: ({ event: { name, why } }) => ({ name, failure: new AppError('no_relay', { why }).toJSON() }),
        },
      },
    ],
    'mapping.confirmed': { actions: { type: 'open', params: ({ event }) => event } },
    'mapping.unconfirmed': { actions: { type: 'fail', params: ({ event }) => event } },
    'save.failed': { actions: { type: 'reportUnsaved', params: ({ event }) => event } },
  },
})
