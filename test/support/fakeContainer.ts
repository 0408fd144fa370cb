import { createActor, fromPromise, SimulatedClock, setup } from 'xstate'
import { containerMachine } from '../../machines/container.ts'
import type {
  AdoptedContainer,
  ContainerEmits,
  ContainerRequest,
  CreatedContainer,
  Credentials,
} from '../../machines/containerManager/containerTypes.ts'
import type { ContainerImage } from '../../machines/image.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { Secret } from '../../protocol/secret.ts'
import { nextTick } from '../support/harness.ts'

export const request: ContainerRequest = {
  requestId: 'r1',
  caller: 'owner',
  key: 'k',
  ports: 0,
  udpPorts: 0,
  gpu: false,
  image: 'ssh',
}
export const image: ContainerImage = { name: 'ssh', tag: 'p2prc/ssh:1', digest: '1', ports: [], built: true }
const reply = {
  ID: 'a'.repeat(64),
  TagName: image.tag,
  Ports: { Port: [] as Port[] },
  GPU: 'false',
} as unknown as ContainerReply
export const created: CreatedContainer = { id: 'a'.repeat(64) as ContainerId, createdAt: 1, reply }
export const credentials: Credentials = {
  containerName: 'p2prc-1',
  publicKey: 'k',
  hostKey: { private: new Secret('s'), public: 'p' },
}
export const adopted: AdoptedContainer = {
  ...created,
  containerName: 'p2prc-1',
  caller: 'owner',
  requestId: 'r1',
  complete: true,
  running: true,
}

export type Step =
  | 'createCredentials'
  | 'allocatePorts'
  | 'create'
  | 'injectKeys'
  | 'start'
  | 'awaitSsh'
  | 'renewReply'
  | 'remove'

/**
 * Starts a container with fake effects. `fail` lists what a step throws, once for each entry; an entry of `undefined`
 * means success.
 */
export function container(
  fail: Partial<Record<Step, unknown[]>> = {},
  source: { request: ContainerRequest } | { adopted: AdoptedContainer } = { request },
  blockedStep?: Step,
) {
  const emitted: ContainerEmits[] = []
  const steps: Step[] = []
  let unblock = () => {}
  const step = <T, Input>(name: Step, output: T | Promise<T>) =>
    fromPromise<T, Input>(async () => {
      steps.push(name)
      if (blockedStep === name)
        await new Promise<void>((resolve) => {
          unblock = resolve
        })
      const error = fail[name]?.shift()
      if (error) throw error
      return output
    })
  const clock = new SimulatedClock()
  const machine = containerMachine.provide({
    actors: {
      createCredentials: step('createCredentials', credentials),
      allocatePorts: step('allocatePorts', [] as Port[]),
      create: step('create', created),
      injectKeys: step('injectKeys', Promise.resolve()),
      start: step('start', Promise.resolve()),
      awaitSsh: step('awaitSsh', reply),
      renewReply: step('renewReply', reply),
      remove: step('remove', Promise.resolve()),
    },
  })
  const parent = createActor(
    setup({ types: { events: {} as ContainerEmits } }).createMachine({
      on: { '*': { actions: ({ event }) => emitted.push(event) } },
    }),
  ).start()
  const actor = createActor(machine, { input: { key: 'g', parent, ...source }, clock }).start()
  return {
    emitted,
    steps,
    actor,
    clock,
    unblock: () => unblock(),
    eventsOf: (type: ContainerEmits['type']) => emitted.filter((one) => one.type === type),
    async settled() {
      for (let turns = 0; turns < 40; turns += 1) await nextTick()
    },
  }
}

export const allSteps: Step[] = ['createCredentials', 'allocatePorts', 'create', 'injectKeys', 'start', 'awaitSsh']
