import { type AnyActorRef, assign, enqueueActions, fromPromise, sendTo, setup } from 'xstate'
import type { ContainerReply, LentContainer, Port } from '../protocol/containerManager.ts'
import { ENGINE_RETRY_MS, PORT_TRIES } from '../protocol/defaults.ts'
import { Fault, toFailure, toFault } from '../protocol/errors.ts'
import type { Caller, ContainerId, Failure } from '../protocol/ids.ts'
import {
  type GuestHears,
  type GuestInput,
  type GuestSays,
  lentOf,
  type Made,
  type Plan,
  type Prepared,
  type Wish,
} from './containerManager/guest.ts'
import type { GuestImage } from './image.ts'

interface Context {
  key: string
  parent: AnyActorRef
  caller: Caller
  requestId: string
  birth: 'wished' | 'half' | 'running' | 'stopped'
  slug: string
  wish: Wish | null
  prepared: Prepared | null
  image: GuestImage | null
  ports: Port[]
  made: Made | null
  portTries: number
  imageTries: number
  /** The engine or another hand ended it. */
  unasked: boolean
  /** Why the guest is being taken back; null for one found half made, and once it has been told. */
  failure: Failure | null
}

type Telling = GuestSays extends infer Said ? (Said extends GuestSays ? Omit<Said, 'key'> : never) : never

function origin({ caller, requestId }: { caller: Caller; requestId: string }) {
  return { caller, requestId }
}

const notProvided = () => Promise.reject(new Error('not provided'))

/** Takes back what there is so far, and says why. */
const undo = {
  target: '#container.undoing',
  actions: {
    type: 'fail',
    params: ({ event }: { event: { error: unknown } }) => ({ failure: toFailure(event.error) }),
  },
} as const

const abandoned = {
  target: '#container.undoing',
  actions: { type: 'fail', params: { failure: new Fault('abandoned').toJSON() } },
} as const

const endedEarly = {
  target: '#container.undoing',
  actions: { type: 'fail', params: { failure: new Fault('ssh_failed', { why: 'it ended at once' }).toJSON() } },
} as const

/**
 * One guest, from the wish to its end. Whatever goes wrong before it is whole takes all of it back. Who provides the
 * effects keeps those of one slug in turn, so that `remove` comes after a step that is still under way.
 */
export const containerMachine = setup({
  types: { context: {} as Context, input: {} as GuestInput, events: {} as GuestHears },
  actors: {
    /** Checks the key and makes what the guest alone has. */
    prepare: fromPromise<Prepared, Wish>(notProvided),
    /** Reserves ports for the slug, in place of those it had. */
    choosePorts: fromPromise<Port[], { slug: string; wish: Wish; image: GuestImage }>(notProvided),
    create: fromPromise<Made, Plan>(notProvided),
    /** Puts the keys in. */
    fill: fromPromise<void, { id: ContainerId; prepared: Prepared }>(notProvided),
    start: fromPromise<void, { id: ContainerId; slug: string }>(notProvided),
    /** Marks it as whole, sets the password where there is no key, and waits for the SSH server. */
    settle: fromPromise<ContainerReply, { slug: string; made: Made }>(notProvided),
    /** The reply, with a new password where there is no key. */
    answer: fromPromise<ContainerReply, { made: Made }>(notProvided),
    /** Ends container, volume and reserved ports; what is gone already is no error. */
    remove: fromPromise<void, { slug: string; id: ContainerId | null }>(notProvided),
  },
  delays: { engineRetry: ENGINE_RETRY_MS },
  guards: {
    born: ({ context }, { birth }: { birth: Context['birth'] }) => context.birth === birth,
    morePorts: ({ context }, { error }: { error: unknown }) =>
      toFault(error).code === 'ports_exhausted' && context.portTries < PORT_TRIES,
    imageGone: ({ context }, { error }: { error: unknown }) =>
      toFault(error).code === 'image_failed' && context.imageTries === 0,
  },
  actions: {
    tell: sendTo(
      ({ context }) => context.parent,
      ({ context }, said: Telling) => ({ ...said, key: context.key }),
    ),
    tellState: sendTo(
      ({ context }) => context.parent,
      ({ context, event }, { state }: { state: LentContainer['state'] }) => ({
        type: 'guest.changed',
        key: context.key,
        lent: lentOf(context.made as Made, context, state),
        unasked: event.type.startsWith('engine.'),
      }),
    ),
    tellFailure: enqueueActions(({ context: { parent, key, failure }, enqueue }) => {
      if (!failure) return
      enqueue.sendTo(parent, { type: 'guest.makeFailed', key, failure, kept: false })
      enqueue.assign({ failure: null })
    }),
    fail: assign({ failure: (_, { failure }: { failure: Failure }) => failure }),
  },
}).createMachine({
  id: 'container',
  context: ({ input }) => {
    const tries = { portTries: 0, imageTries: 0 }
    const fresh = { prepared: null, image: null, ports: [], ...tries, unasked: false, failure: null }
    const { key, parent } = input
    if ('wish' in input) {
      const { wish } = input
      return { key, parent, ...fresh, birth: 'wished', ...origin(wish), slug: '', wish, made: null }
    }
    const { slug, whole, running } = input.found
    const birth = whole ? (running ? 'running' : 'stopped') : 'half'
    return { key, parent, ...fresh, birth, ...origin(input.found), slug, wish: null, made: input.found }
  },
  initial: 'born',
  states: {
    born: {
      always: [
        { guard: { type: 'born', params: { birth: 'wished' } }, target: 'making' },
        { guard: { type: 'born', params: { birth: 'half' } }, target: 'undoing' },
        { guard: { type: 'born', params: { birth: 'stopped' } }, target: '#container.lent.life.stopped' },
        { target: 'lent' },
      ],
    },
    making: {
      initial: 'preparing',
      on: { abandon: abandoned, remove: abandoned },
      states: {
        preparing: {
          invoke: {
            src: 'prepare',
            input: ({ context }) => context.wish as Wish,
            onDone: {
              target: 'awaitingImage',
              actions: [
                assign({ prepared: ({ event }) => event.output, slug: ({ event }) => event.output.slug }),
                { type: 'tell', params: ({ event }) => ({ type: 'guest.planned', slug: event.output.slug }) },
              ],
            },
            onError: undo,
          },
        },
        awaitingImage: {
          entry: {
            type: 'tell',
            params: ({ context }) => ({ type: 'guest.needsImage', again: context.imageTries > 0 }),
          },
          on: {
            'image.line': {
              actions: {
                type: 'tell',
                params: ({ event: { line } }) => ({ type: 'guest.progress', step: 'image', line }),
              },
            },
            'image.ready': { target: 'choosingPorts', actions: assign({ image: ({ event }) => event.image }) },
            'image.failed': {
              target: '#container.undoing',
              actions: { type: 'fail', params: ({ event }) => event },
            },
          },
        },
        choosingPorts: {
          invoke: {
            src: 'choosePorts',
            input: ({ context: { slug, wish, image } }) => ({ slug, wish: wish as Wish, image: image as GuestImage }),
            onDone: {
              target: 'creating',
              actions: assign({
                ports: ({ event }) => event.output,
                portTries: ({ context }) => context.portTries + 1,
              }),
            },
            onError: undo,
          },
        },
        creating: {
          entry: { type: 'tell', params: { type: 'guest.progress', step: 'create', line: 'Making the container' } },
          invoke: {
            src: 'create',
            input: ({ context: { wish, prepared, image, ports } }) => ({ wish, prepared, image, ports }) as Plan,
            onDone: {
              target: 'filling',
              actions: [
                assign({ made: ({ event }) => event.output }),
                { type: 'tellState', params: { state: 'creating' } },
              ],
            },
            onError: [
              {
                guard: { type: 'imageGone', params: ({ event }) => event },
                target: 'awaitingImage',
                actions: assign({ imageTries: 1 }),
              },
              undo,
            ],
          },
        },
        filling: {
          invoke: {
            src: 'fill',
            input: ({ context: { made, prepared } }) => ({ id: (made as Made).id, prepared: prepared as Prepared }),
            onDone: 'starting',
            onError: undo,
          },
        },
        starting: {
          entry: { type: 'tell', params: { type: 'guest.progress', step: 'start', line: 'Starting it' } },
          invoke: {
            src: 'start',
            input: ({ context: { made, slug } }) => ({ id: (made as Made).id, slug }),
            onDone: 'settling',
            onError: [{ guard: { type: 'morePorts', params: ({ event }) => event }, target: 'clearing' }, undo],
          },
        },
        /** Takes back a container whose ports were taken, for a try with others. */
        clearing: {
          invoke: {
            src: 'remove',
            input: ({ context: { slug, made } }) => ({ slug, id: (made as Made).id }),
            onDone: 'choosingPorts',
            onError: undo,
          },
        },
        settling: {
          entry: { type: 'tell', params: { type: 'guest.progress', step: 'ssh', line: 'Waiting for its SSH server' } },
          invoke: {
            src: 'settle',
            input: ({ context: { slug, made } }) => ({ slug, made: made as Made }),
            onDone: {
              target: '#container.lent',
              actions: { type: 'tell', params: ({ event }) => ({ type: 'guest.made', reply: event.output }) },
            },
            onError: undo,
          },
          on: { 'engine.stopped': endedEarly, 'engine.gone': endedEarly },
        },
      },
    },
    lent: {
      type: 'parallel',
      entry: assign({ prepared: null, wish: null }),
      on: { remove: 'removing', 'engine.gone': { target: 'undoing', actions: assign({ unasked: true }) } },
      states: {
        life: {
          initial: 'running',
          states: {
            running: {
              entry: { type: 'tellState', params: { state: 'running' } },
              on: { 'engine.stopped': 'stopped' },
            },
            stopped: {
              entry: { type: 'tellState', params: { state: 'stopped' } },
              on: { 'engine.running': 'running' },
            },
          },
        },
        talk: {
          initial: 'quiet',
          states: {
            quiet: { on: { ask: 'answering' } },
            answering: {
              invoke: {
                src: 'answer',
                input: ({ context }) => ({ made: context.made as Made }),
                onDone: {
                  target: 'quiet',
                  actions: { type: 'tell', params: ({ event }) => ({ type: 'guest.made', reply: event.output }) },
                },
                onError: {
                  target: 'quiet',
                  actions: {
                    type: 'tell',
                    params: ({ event: { error } }) => ({
                      type: 'guest.makeFailed',
                      failure: toFailure(error),
                      kept: true,
                    }),
                  },
                },
              },
            },
          },
        },
      },
    },
    removing: {
      entry: { type: 'tellState', params: { state: 'removing' } },
      invoke: {
        src: 'remove',
        input: ({ context: { slug, made } }) => ({ slug, id: (made as Made).id }),
        onDone: 'gone',
        onError: {
          target: 'lent',
          actions: {
            type: 'tell',
            params: ({ event: { error } }) => ({ type: 'guest.removeFailed', failure: toFailure(error) }),
          },
        },
      },
    },
    undoing: {
      invoke: {
        src: 'remove',
        input: ({ context: { slug, made } }) => ({ slug, id: made?.id ?? null }),
        onDone: 'gone',
        onError: 'lingering',
      },
      // The engine finished making it after all, perhaps behind the removal's back.
      on: { 'engine.made': { target: 'undoing', reenter: true } },
    },
    /** The engine could not take it back; it is tried until it can. */
    lingering: {
      entry: 'tellFailure',
      after: { engineRetry: 'undoing' },
      on: { 'engine.gone': 'undoing', 'engine.made': 'undoing' },
    },
    gone: {
      type: 'final',
      entry: [
        'tellFailure',
        {
          type: 'tell',
          params: ({ context: { made, unasked } }) => ({ type: 'guest.gone', id: made?.id ?? null, unasked }),
        },
      ],
    },
  },
  options: { maxIterations: 1_000 },
})
