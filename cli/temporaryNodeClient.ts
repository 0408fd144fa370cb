import { spawn } from 'node:child_process'
import { extname, join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { AppError, fromFailure } from '../protocol/errors.ts'
import type { Failure } from '../protocol/ids.ts'

/** The pipe on which a temporary node reports, one JSON object a line. Its end is the end of the node. */
export const REPORT_FD = 3

export type TemporaryNodeReport = { note: string } | { ready: true } | { failure: Failure }

/** Beside this file in the source and in a build. */
const script = join(import.meta.dirname, `temporaryNode${extname(import.meta.filename)}`)

/**
 * Starts a temporary node, in a session of its own so that Ctrl-C reaches the command alone. Resolves when it answers on
 * the control socket, with the function that releases it, which waits for its end unless others use it. Rejects with what
 * `openHome` and `createNode` throw.
 */
export async function startTemporaryNode(onNote: (note: string) => void): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [...process.execArgv, script], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore', 'pipe'],
  })
  const reports = createInterface({ input: child.stdio[REPORT_FD] as Readable })
  const ended = new Promise<void>((resolve) => reports.once('close', resolve))
  // The node may have ended by itself.
  child.stdin?.on('error', () => {})
  const release = () => {
    child.stdin?.end()
    return ended
  }
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    reports.on('line', (line) => {
      const report = JSON.parse(line) as TemporaryNodeReport
      if ('note' in report) onNote(report.note)
      else if ('failure' in report) reject(fromFailure(report.failure))
      else resolve()
    })
    ended.then(() => reject(new AppError('internal', { why: 'the process that should run the command ended at once' })))
  })
  return release
}
