import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { follow, type Output } from './children.ts'

export { freePort } from './children.ts'

/** The path of the bundle that users run. `npm run bench` builds it first. */
export const cli = join(import.meta.dirname, '..', 'dist', 'cli.js')

// Each temporary folder and child process adds an exit listener.
process.setMaxListeners(0)

/** Creates a temporary folder and removes it when this process exits. */
export function scratch(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `p2prc-bench-${name}-`))
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A running program with its output. */
export type Started = ChildProcess & Pick<Output, 'text' | 'printed'>

/** Starts a program and waits until its output matches `ready`. The program is killed when this process exits. */
export async function started(
  args: string[],
  env: NodeJS.ProcessEnv,
  ready: string | RegExp,
  onOutput?: (chunk: string) => void,
): Promise<Started> {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  process.on('exit', () => child.kill('SIGKILL'))
  const output = follow(child)
  if (onOutput) child.stdout.on('data', onOutput)
  await output.printed(ready)
  return Object.defineProperties(child as ChildProcess as Started, {
    text: { get: () => output.text },
    printed: { value: output.printed },
  })
}

/** Starts a node of the bundle on loopback with the given home and waits until it listens. */
export function startedNode(home: string, port: number): Promise<Started> {
  return started([cli, 'start', '--host', '127.0.0.1', '--port', String(port)], { P2PRC: home }, `127.0.0.1:${port}`)
}

/** Interrupts a child and waits until it exits. */
export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGINT')
  await once(child, 'exit')
}

/** Runs a process to its end and returns its wall-clock milliseconds. Throws if its exit code is not 0. */
export async function timed(args: string[], env: NodeJS.ProcessEnv = {}): Promise<number> {
  const began = performance.now()
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: 'ignore' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`${args.join(' ')} exited with ${code}`)
  return performance.now() - began
}
