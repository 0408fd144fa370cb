import { closeSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { toFailure } from '../protocol/errors.ts'
import type { BusEvent } from '../protocol/index.ts'
import { ownerLine } from './tables.ts'
import { REPORT_FD, type TemporaryNodeReport } from './temporaryNodeClient.ts'

/** How long the connections of the command that started this node may outlast the pipe that holds it, in ms. */
const RELEASE_GRACE_MS = 50

/**
 * A process of its own, for the commands of a home on which no node runs. It serves the control socket and nothing else,
 * so that any number of commands work at the same time, each as long as it needs. It ends when the command that started
 * it has ended, which closes its stdin, and no other one is connected.
 */
async function run(): Promise<void> {
  const { createNode, openHome } = await import('./inProcess.ts')
  const home = await openHome(process.env)
  for (const note of home.notes) report({ note })
  const tap = (event: BusEvent) => {
    if (event.type === 'node.fileQuarantined') report({ note: ownerLine({ ...event }) as string })
  }
  const node = await createNode({ home, listen: null, open: false, tap })
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => node.stop().finally(() => process.exit()))
  report({ ready: true })
  await new Promise((resolve) => process.stdin.resume().once('close', resolve))
  const stopped = node.stopWhenUnused()
  // The command that started this node waits for its end, unless the node lives on for others.
  const isUnused = await Promise.race([node.unused().then(() => true), delay(RELEASE_GRACE_MS, false)])
  if (!isUnused) closeSync(REPORT_FD)
  await stopped
}

/** Tells the command that started this process; it may have gone already. */
function report(message: TemporaryNodeReport): void {
  try {
    writeSync(REPORT_FD, `${JSON.stringify(message)}\n`)
  } catch {}
}

run().then(
  () => process.exit(0),
  (error: unknown) => {
    report({ failure: toFailure(error) })
    process.exit(1)
  },
)
