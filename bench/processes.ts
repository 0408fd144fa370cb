import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { follow, type Output } from './children.ts'

export { freePort } from './children.ts'

/** The bundle, as users run it. `npm run bench` builds it first. */
export const cli = join(import.meta.dirname, '..', 'dist', 'cli.js')

// One listener for each folder and process of a run, all of which end with it.
process.setMaxListeners(0)

/** A temporary folder that goes when the bench's process ends. */
export function scratch(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `p2prc-bench-${name}-`))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A program that runs, and what it prints. */
export type Started = ChildProcess & Pick<Output, 'said' | 'printed'>

/** Starts a program and waits until what it prints contains `ready`. It is killed when the bench's process ends. */
export async function started(args: string[], env: NodeJS.ProcessEnv, ready: string): Promise<Started> {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  process.on('exit', () => child.kill('SIGKILL'))
  const output = follow(child)
  await output.printed(ready)
  return Object.defineProperties(child as ChildProcess as Started, {
    said: { get: () => output.said },
    printed: { value: output.printed },
  })
}

/** Starts a node of the bundle on loopback, in the given home. */
export function startedNode(home: string, port: number): Promise<Started> {
  return started([cli, 'start', '--host', '127.0.0.1', '--port', String(port)], { P2PRC: home }, `127.0.0.1:${port}`)
}

/** Ends a child and waits for it. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGINT')
  await once(child, 'exit')
}

/** Wall-clock milliseconds of one whole process. */
export async function timed(args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${args.join(' ')} ended with ${code}`)
  return performance.now() - began
}
