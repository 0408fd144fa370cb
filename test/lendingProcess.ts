import { resolve } from 'node:path'
import { ask } from '../actors/ask.ts'
import { createDockerEngine } from '../actors/containerManager/dockerEngine.ts'
import { createContainerManager } from '../actors/containerManager.ts'
import { supervise } from '../actors/supervise.ts'
import { createBus } from '../protocol/bus.ts'
import type { BusEvent } from '../protocol/index.ts'
import { commandOf } from './lender.ts'

/** A process that lends and makes one container, to be killed in the middle: `node lendingProcess.ts <node id> <engine socket>`. */
const [nodeId = '', socketPath = ''] = process.argv.slice(2)
const bus = createBus<BusEvent>()
const imagesDir = resolve(import.meta.dirname, '../images')
const parts = createContainerManager({ engine: createDockerEngine({ socketPath }), nodeId, imagesDir })
supervise(parts, { bus }).start()
const { type } = await ask(bus, commandOf('container.create', { requestId: 'wish', ports: 1 }))
process.stdout.write(`${type}\n`)
