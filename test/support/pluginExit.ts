import { join } from 'node:path'
import { createPluginRunner } from '../../actors/pluginRunner.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'

// A process that exits in the middle of a run, for pluginPlay.test.ts.

const { root, files, loans } = JSON.parse(process.env.P2PRC_TEST ?? '{}')
const bus = createBus<BusEvent>()
const parts = createPluginRunner({
  folders: { own: join(root, 'plugins'), shipped: root },
  files,
  output: root,
  env: process.env,
  members: async () => loans,
  usePorts: async () => {},
})
supervise(parts, { bus }).start()
bus.on('plugin.progress', ({ task }) => task === 'long' && process.exit(7))
const command = { name: 'slow', id: 'x', timeoutMs: 60_000, output: '', vars: {}, stock: false }
bus.publish({ type: 'plugin.run', requestId: 'r', caller: 'owner', ...command })
