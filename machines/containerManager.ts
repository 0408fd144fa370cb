import { assign, emit, sendTo } from 'xstate'
import type { ContainerManagerCommand } from '../protocol/containerManager.ts'
import type { LinkEmits } from './containerManager/containerTypes.ts'
import { managerSetup } from './containerManager/managerSetup.ts'

export type { ContainerManagerInput } from './containerManager/managerContext.ts'

/**
 * Commands wait for the engine's first answer. Later, while the engine is disconnected, they are rejected with its
 * failure.
 */
const whileDisconnected = [
  {
    guard: { type: 'isQueued', params: ({ event }: { event: ContainerManagerCommand }) => event },
    actions: { type: 'joinQueued', params: ({ event }: { event: ContainerManagerCommand }) => event },
  },
  {
    guard: 'engineUnknown',
    actions: { type: 'queue', params: ({ event }: { event: ContainerManagerCommand }) => event },
  },
  { actions: { type: 'reject', params: ({ event }: { event: ContainerManagerCommand }) => event } },
] as const

type LinkReady = Extract<LinkEmits, { type: 'link.ready' }>

const onEngineReady = [
  'clearFailure',
  { type: 'emitConnected', params: ({ event }: { event: LinkReady }) => event },
  { type: 'adopt', params: ({ event }: { event: LinkReady }) => ({ found: event.found, all: true }) },
] as const

/**
 * Lends containers: it keeps the connection to the engine and one child for each container, and answers commands for
 * them.
 */
export const containerManagerMachine = managerSetup.createMachine({
  id: 'containerManager',
  context: ({ input }) => ({
    ...input,
    failure: null,
    attempts: 0,
    requests: [],
    containers: {},
    nextId: 0,
    expected: [],
    removed: [],
  }),
  invoke: {
    src: 'imageStore',
    id: 'imageStore',
    input: ({ context, self }) => ({ parent: self, defaultImage: context.defaultImage }),
  },
  initial: 'idle',
  states: {
    idle: {
      always: { guard: 'inBackground', target: 'connection' },
      on: {
        'container.*': { target: 'connection', actions: { type: 'queue', params: ({ event }) => event } },
        'image.build': { target: 'connection', actions: { type: 'queue', params: ({ event }) => event } },
      },
    },
    connection: {
      entry: 'expectAdopted',
      invoke: { src: 'link', id: 'link' },
      initial: 'connecting',
      on: {
        'link.lost': [
          {
            guard: 'engineUnknown',
            target: 'disconnected',
            actions: [
              assign({ failure: ({ event }) => event.failure }),
              emit(({ event }) => ({ type: 'engine.lost', ...event.failure })),
              'flush',
            ],
          },
          { target: 'disconnected' },
        ],
      },
      states: {
        connecting: {
          on: {
            'link.ready': [
              { guard: 'inBackground', target: 'connected', actions: [...onEngineReady, 'prebuild', 'flush'] },
              { target: 'connected', actions: [...onEngineReady, 'flush'] },
            ],
          },
        },
        connected: {
          entry: assign({ attempts: 0 }),
          on: {
            'link.created': {
              actions: { type: 'adopt', params: ({ event }) => ({ found: [event.found], all: false }) },
            },
            'link.changed': { actions: { type: 'forward', params: ({ event }) => event } },
            'container.create': [
              {
                guard: { type: 'isCreated', params: ({ event }) => event },
                actions: { type: 'requestAgain', params: ({ event }) => event },
              },
              { guard: 'isFull', actions: { type: 'rejectFull', params: ({ event }) => event } },
              { actions: { type: 'create', params: ({ event }) => event } },
            ],
            'container.remove': [
              {
                guard: { type: 'isRemoving', params: ({ event }) => event },
                actions: { type: 'joinRemoval', params: ({ event }) => event },
              },
              {
                guard: { type: 'isHere', params: ({ event }) => event },
                actions: { type: 'remove', params: ({ event }) => event },
              },
              {
                guard: { type: 'isRemoved', params: ({ event }) => event },
                actions: { type: 'emitRemoved', params: ({ event }) => event },
              },
              { actions: { type: 'rejectUnknown', params: ({ event }) => event } },
            ],
            'container.list': { actions: { type: 'list', params: ({ event }) => event } },
            'container.logs': [
              {
                guard: { type: 'isReading', params: ({ event }) => event },
                actions: { type: 'joinReading', params: ({ event }) => event },
              },
              {
                guard: { type: 'isHere', params: ({ event }) => event },
                actions: { type: 'readLogs', params: ({ event }) => event },
              },
              { actions: { type: 'rejectUnknown', params: ({ event }) => event } },
            ],
            'image.build': {
              actions: sendTo('imageStore', ({ event }) => ({ type: 'imageStore.build', requestId: event.requestId })),
            },
          },
        },
      },
    },
    disconnected: {
      entry: assign({ attempts: ({ context }) => context.attempts + 1 }),
      after: { engineRetry: 'connection' },
    },
  },
  on: {
    // Reached only while no engine is connected: commands wait for its first answer, and later are rejected at once.
    'container.*': whileDisconnected,
    'image.build': whileDisconnected,
    'request.abandoned': {
      actions: [
        sendTo('imageStore', ({ event: { requestId } }) => ({ type: 'imageStore.abandon', requestId })),
        { type: 'abandon', params: ({ event }) => event },
      ],
    },
    'imageStore.emitted': { actions: emit(({ event }) => event.fact) },
    'child.named': {
      actions: [
        { type: 'change', params: ({ event: { key, containerName } }) => ({ key, containerName }) },
        { type: 'emitWeakKey', params: ({ event }) => event },
      ],
    },
    'child.imageRequested': { actions: { type: 'requestImage', params: ({ event }) => event } },
    'child.progress': { actions: { type: 'emitProgress', params: ({ event }) => event } },
    'child.stateChanged': [
      {
        guard: { type: 'isExternal', params: ({ event }) => event },
        actions: [
          { type: 'change', params: ({ event: { key, summary } }) => ({ key, summary }) },
          { type: 'emitChanged', params: ({ event }) => event },
        ],
      },
      { actions: { type: 'change', params: ({ event: { key, summary } }) => ({ key, summary }) } },
    ],
    'child.created': {
      actions: [
        { type: 'endRequests', params: ({ event: { key } }) => ({ key, phase: 'creating' }) },
        { type: 'emitCreated', params: ({ event }) => event },
      ],
    },
    'child.createFailed': {
      actions: [
        { type: 'endRequests', params: ({ event: { key } }) => ({ key, phase: 'creating' }) },
        { type: 'change', params: ({ event: { key, kept } }) => ({ key, failed: !kept }) },
        { type: 'emitCreateFailed', params: ({ event }) => event },
      ],
    },
    'child.removeFailed': {
      actions: [
        { type: 'emitRemoveFailed', params: ({ event }) => event },
        { type: 'endRequests', params: ({ event: { key } }) => ({ key, phase: 'removing' }) },
      ],
    },
    'child.gone': {
      actions: [
        { type: 'forget', params: ({ event }) => event },
        { type: 'endRequests', params: ({ event: { key } }) => ({ key, phase: 'creating' }) },
        { type: 'endRequests', params: ({ event: { key } }) => ({ key, phase: 'removing' }) },
      ],
    },
    'logs.line': {
      actions: emit(({ event: { requestId, stream, line } }) => ({
        type: 'container.logged',
        requestId,
        stream,
        line,
      })),
    },
    'logs.ended': {
      actions: [
        { type: 'endReading', params: ({ event }) => event },
        emit(({ event }) => ({ type: 'container.logsEnded', requestId: event.requestId })),
      ],
    },
    'logs.failed': {
      actions: [
        { type: 'endReading', params: ({ event }) => event },
        emit(({ event: { requestId, failure } }) => ({ type: 'container.logsFailed', requestId, ...failure })),
      ],
    },
  },
  options: { maxIterations: 1_000 },
})
