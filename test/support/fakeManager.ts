import { createActor, fromCallback, fromPromise, SimulatedClock } from 'xstate'
import { containerMachine } from '../../machines/container.ts'
import type {
  AdoptedContainer,
  ContainerRequest,
  ContainerSpec,
  CreatedContainer,
  Credentials,
  LinkEmits,
  LogsEmits,
  LogsInput,
} from '../../machines/containerManager/containerTypes.ts'
import { imageStoreMachine } from '../../machines/containerManager/imageStore.ts'
import { logReaderMachine } from '../../machines/containerManager/logReader.ts'
import { containerManagerMachine } from '../../machines/containerManager.ts'
import { type ContainerImage, imageMachine } from '../../machines/image.ts'
import type {
  ContainerManagerCommand,
  ContainerManagerEmits,
  ContainerReply,
  Port,
} from '../../protocol/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Caller, ContainerId } from '../../protocol/ids.ts'
import { Secret } from '../../protocol/secret.ts'
import { nextTick } from '../support/harness.ts'
import { commandOf } from '../support/lender.ts'

/** Starts the manager over a fake engine: every effect answers at once, and `block` keeps a container's start open. */
export async function manager({ maxContainers = 4, background = true, found = [] as AdoptedContainer[] } = {}) {
  const facts: ContainerManagerEmits[] = []
  const effects: string[] = []
  let emitLink: (event: LinkEmits) => void = () => {}
  let logs: (event: LogsEmits) => void = () => {}
  let starting: (() => void) | undefined
  let links = 0
  let created = 0
  let blocked = false
  const container = containerMachine.provide({
    actors: {
      createCredentials: fromPromise<Credentials, ContainerRequest>(async ({ input }) => {
        if (input.key === 'bad') throw new AppError('bad_key', { why: 'test' })
        created += 1
        return {
          containerName: `p2prc-${created}`,
          publicKey: input.key,
          hostKey: { private: new Secret('s'), public: 'h' },
        }
      }),
      allocatePorts: fromPromise<Port[], { containerName: string; request: ContainerRequest; image: ContainerImage }>(
        async () => [],
      ),
      create: fromPromise<CreatedContainer, ContainerSpec>(async ({ input: { credentials, image } }) => {
        effects.push(`create ${credentials.containerName}`)
        return createdContainer(credentials.containerName, image.tag)
      }),
      injectKeys: fromPromise<void, { id: ContainerId; credentials: Credentials }>(async () => {}),
      start: fromPromise<void, { id: ContainerId; containerName: string }>(async () => {
        if (blocked)
          await new Promise<void>((resolve) => {
            starting = resolve
          })
      }),
      awaitSsh: fromPromise<ContainerReply, { containerName: string; created: CreatedContainer }>(
        async ({ input }) => input.created.reply,
      ),
      renewReply: fromPromise<ContainerReply, { created: CreatedContainer }>(async ({ input }) => input.created.reply),
      remove: fromPromise<void, { containerName: string; id: ContainerId | null }>(async ({ input }) => {
        effects.push(`remove ${input.containerName}`)
      }),
    },
  })
  const image = imageMachine.provide({
    actors: {
      inspect: fromPromise<ContainerImage, { name: string }>(async ({ input: { name } }) => {
        if (name === 'none') throw new AppError('bad_image', { image: name })
        return { name, tag: `p2prc/${name}:1`, digest: '1', ports: [], built: true }
      }),
      prune: fromPromise<void, { image: ContainerImage }>(async () => {}),
    },
  })
  const machine = containerManagerMachine.provide({
    actors: {
      container,
      imageStore: imageStoreMachine.provide({ actors: { image } }),
      link: fromCallback<LinkEmits>(({ sendBack }) => {
        links += 1
        emitLink = sendBack
      }),
      logReader: logReaderMachine.provide({
        actors: {
          readLogs: fromCallback<LogsEmits, LogsInput>(({ sendBack, input }) => {
            effects.push(`logs ${input.id.slice(0, 4)}`)
            logs = sendBack
            return () => void effects.push('logs stopped')
          }),
        },
      }),
    },
  })
  const clock = new SimulatedClock()
  const actor = createActor(machine, { input: { maxContainers, defaultImage: 'ssh', background }, clock })
  actor.on('*', (fact) => facts.push(fact))
  actor.start()
  const settled = async () => {
    for (let turns = 0; turns < 40; turns += 1) await nextTick()
  }
  const one = {
    facts,
    effects,
    actor,
    clock,
    settled,
    block: () => {
      blocked = true
    },
    unblock: () => {
      blocked = false
      starting?.()
    },
    links: () => links,
    link: (event: LinkEmits) => emitLink(event),
    logs: (event: LogsEmits) => logs(event),
    send(event: ContainerManagerCommand) {
      actor.send(event)
      return settled()
    },
    /** Returns the facts about a request in a short form. */
    about: (requestId: string) =>
      facts
        .filter((fact) => 'requestId' in fact && fact.requestId === requestId && !fact.type.endsWith('progress'))
        .map((fact) => ('code' in fact ? `${fact.type} ${fact.code}` : fact.type)),
  }
  if (background) {
    emitLink({ type: 'link.ready', version: '1', found })
    await settled()
  }
  return one
}

function createdContainer(containerName: string, tag = 'p2prc/ssh:1'): CreatedContainer {
  const id = containerName.replace('p2prc-', '').padEnd(64, '0') as ContainerId
  return {
    id,
    createdAt: 1,
    reply: { ID: id, TagName: tag, Ports: { Port: [] as Port[] }, GPU: 'false' } as unknown as ContainerReply,
  }
}

/** Returns a complete and running container, as a node finds it in the engine. */
export function adoptedContainer(containerName: string, more: Partial<AdoptedContainer> = {}): AdoptedContainer {
  return {
    ...createdContainer(containerName),
    containerName,
    caller: 'owner',
    requestId: containerName,
    complete: true,
    running: true,
    ...more,
  }
}

export const create = (requestId: string, caller: Caller = 'owner', more = {}) =>
  commandOf('container.create', { requestId, caller, ...more })
