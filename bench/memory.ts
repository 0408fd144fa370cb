import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { type Bench, interleave } from './measure.ts'
import { ended, freePort, scratch, started, startedNode } from './processes.ts'

/** A process idles for this long before its memory is read: garbage collections and background work of its start are over. */
const IDLE_MS = 5_000

/** Compares the resident memory of an idle node (the bundle) with that of a bare fastify and ws server. */
export const bench: Bench = async () => {
  const bareFile = join(import.meta.dirname, 'bareServer.mjs')
  return [
    await interleave({
      what: 'memory of an idle node',
      baseline: 'bare fastify + ws server',
      unit: 'MB',
      goal: { sign: '≤', ratio: 1.35 },
      rounds: 5,
      warmUp: 0,
      ours: async () => resident(await startedNode(scratch('memory'), await freePort())),
      theirs: async () => resident(await started([bareFile], {}, 'ready')),
    }),
  ]
}

async function resident(child: Awaited<ReturnType<typeof started>>): Promise<number> {
  await wait(IDLE_MS)
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  await ended(child)
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1000
}
