import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { after } from 'node:test'

/**
 * The real program, as `npm test` has built it, in processes of their own, on homes that do not exist yet, with no engine
 * to be found and nothing else in the environment.
 */

export const root = resolve(import.meta.dirname, '../..')
/** The folder of these homes, in which the processes run. It is removed after the tests. */
export const folder = mkdtempSync('/tmp/p2prc-cli-')
const program = join(root, 'dist/cli.js')
const running = new Set<ChildProcess>()
const servers: Server[] = []

after(() => {
  for (const child of running) child.kill('SIGKILL')
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

let serial = 0
/** Returns the path of a home that nobody has made yet. */
export const freshHome = () => join(folder, `home-${++serial}`)

/** How a process ended, and all that it printed. */
export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** Starts the program, and does not wait for it. It is killed after the tests. */
export function launch(home: string, args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, P2PRC: home, DOCKER_HOST: `unix://${folder}/no-engine.sock`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.on('exit', () => running.delete(child))
  return child
}

/** Waits for the end of a process. */
export async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

/** Runs the program and waits for its end. */
export const p2prc = (home: string, ...args: string[]) => ended(launch(home, args))

/** Resolves when the child has printed what matches. */
export function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer) => {
      text += chunk
      if (pattern.test(text)) resolve(text)
    }
    child.stdout?.on('data', onData)
    child.stderr?.on('data', onData)
    child.on('exit', (code) => reject(new Error(`ended with ${code} before ${pattern}: ${text}`)))
  })
}

/** Returns a function that returns what the child has printed so far. */
export function collect(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
    })
  return () => text
}

/** Starts a node on loopback and waits until it has printed how it is reached. */
export async function startNode(
  home: string,
  ...args: string[]
): Promise<{ child: ChildProcess; text: string; port: number }> {
  const child = launch(home, ['start', '--host', '127.0.0.1', '--port', '0', ...args])
  const text = await printed(child, /listens on 127\.0\.0\.1:\d+[\s\S]*trust add|--open\)/)
  return { child, text, port: Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1]) }
}

/** Sends a signal and resolves with the exit code. */
export async function signalled(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(child, 'exit')
  child.kill(signal)
  return (await exit)[0]
}

/** A server on loopback that answers every connection with `bytes`, or with nothing. */
export async function speaker(bytes: string): Promise<{ port: number; connected: Promise<unknown> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (bytes) socket.end(bytes)
    else socket.resume()
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, connected: once(server, 'connection') }
}

/** The id of a container that begins so. */
export const hex = (beginning: string) => beginning.padEnd(64, '0')

/** The record of a taken container, as P2PRC writes it. */
export function record(id: string, address = '127.0.0.1:1') {
  const port = { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: 20_000, IsUsed: true, Description: '' }
  const Container = { SSHUsername: 'root', ID: id, Ports: { Port: [port] }, GPU: 'false' }
  return { ID: id, Container, IpAddress: address, NodeId: `SHA256:${'A'.repeat(43)}` }
}

/** A home that remembers these containers. */
export function homeWith(...records: object[]): { home: string; file: string; text: string } {
  const home = freshHome()
  const file = join(home, 'client/trackcontainers/trackcontainers.json')
  mkdirSync(dirname(file), { recursive: true })
  const text = JSON.stringify({ TrackContainer: records }, null, '\t')
  writeFileSync(file, text)
  return { home, file, text }
}
