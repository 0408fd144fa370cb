import { resolve } from 'node:path'
import { createContainerManager } from '../../actors/containerManager.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import { request } from '../../actors/request.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { commandOf } from './lender.ts'

/**
 * A process that lends and creates one container, and is killed while it does so: `node lendingProcess.ts <node id>
 * <engine socket>`.
 */
const [nodeId = '', socketPath = ''] = process.argv.slice(2)
const bus = createBus<BusEvent>()
const imagesDir = resolve(import.meta.dirname, '../../images')
const parts = createContainerManager({ engine: createDockerEngine({ socketPath }), nodeId, imagesDir })
supervise(parts, { bus }).start()
const { type } = await request(bus, commandOf('container.create', { requestId: 'create-1', ports: 1 }))
process.stdout.write(`${type}\n`)
