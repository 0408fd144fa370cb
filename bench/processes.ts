import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

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

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** A program that runs, and what it prints. */
export type Started = ChildProcess & {
  readonly said: string
  /** Resolves when what it has printed, or prints from now on, contains `text`. */
  says(text: string): Promise<void>
}

/** Starts a program and waits until what it prints contains `ready`. It is killed when the bench's process ends. */
export async function started(args: string[], env: NodeJS.ProcessEnv, ready: string): Promise<Started> {
  const child = spawn(process.execPath, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  process.on('exit', () => child.kill('SIGKILL'))
  let said = ''
  const looks = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
      for (const look of looks) look()
    })
  }
  const says = (text: string) =>
    new Promise<void>((resolve, reject) => {
      const gone = (code: number | null) => reject(new Error(`${args.join(' ')} ended with ${code}\n${said}`))
      const look = () => {
        if (!said.includes(text)) return
        looks.delete(look)
        child.off('exit', gone)
        resolve()
      }
      child.once('exit', gone)
      looks.add(look)
      look()
    })
  await says(ready)
  return Object.defineProperties(child as Started, { said: { get: () => said }, says: { value: says } })
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
