import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ActorLogic, createActor, type InputFrom, toPromise } from 'xstate'
import { containerSteps } from '../../actors/containerManager/containerSteps.ts'
import { createHostPorts } from '../../actors/containerManager/hostPorts.ts'
import type { Engine } from '../../actors/engine/engine.ts'
import { CONTAINER_LIMITS } from '../../protocol/defaults/containerManager.ts'
import { image, request } from '../support/fakeContainer.ts'

test('the ports of a removed container are free again', async () => {
  const removed: string[] = []
  const engine = {
    remove: async (name: string) => void removed.push(`container ${name}`),
    removeVolume: async (name: string) => void removed.push(`volume ${name}`),
  } as unknown as Engine
  const ports = createHostPorts({ first: 40_000, last: 40_001, isFree: async () => true })
  const { logic } = containerSteps({ engine, nodeId: 'SHA256:x', limits: CONTAINER_LIMITS, ports })
  const both = { ...request, ports: 1, udpPorts: 1 }
  const allocate = (containerName: string) => run(logic.allocatePorts, { containerName, request: both, image })
  for (const containerName of ['p2prc-1', 'p2prc-2', 'p2prc-3']) {
    const taken = await allocate(containerName)
    assert.deepEqual(taken.map(({ ExternalPort }) => ExternalPort).sort(), [40_000, 40_001])
    await assert.rejects(allocate('p2prc-late'), { code: 'ports_exhausted' })
    await run(logic.remove, { containerName, id: null })
    assert.deepEqual(removed.splice(0), [
      `container ${containerName}.pending`,
      `container ${containerName}`,
      `volume ${containerName}`,
    ])
  }
})

test('more ports than a container may have, TCP and UDP together, are refused in one sentence', async () => {
  const ports = createHostPorts({ first: 40_000, last: 40_001, isFree: async () => true })
  const { logic } = containerSteps({ engine: {} as Engine, nodeId: 'SHA256:x', limits: CONTAINER_LIMITS, ports })
  await assert.rejects(run(logic.createCredentials, { ...request, ports: 64, udpPorts: 1 }), {
    code: 'bad_request',
    what: 'A container gets at most 64 ports, TCP and UDP together, not 65',
  })
})

// biome-ignore lint/suspicious/noExplicitAny: as xstate declares its logic
function run<T extends ActorLogic<any, any, any, any, any>>(logic: T, input: InputFrom<T>) {
  const actor = createActor(logic, { input })
  // The promise is also observed, because an actor reports an error that nobody observes as an uncaught one.
  const ended = toPromise(actor)
  actor.start()
  return ended
}
