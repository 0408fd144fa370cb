import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { follow } from '../../bench/children.ts'

export { freePort } from '../../bench/children.ts'

/** The bundle that users run; `npm test` builds it first. */
const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

/** What one run of the command line gave. */
export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * A home of its own for one test. It goes with the test's process, not with the test: what a test does afterwards, such
 * as ending the containers that it left, still needs the node's key.
 */
export function temporaryHome(): NodeJS.ProcessEnv {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-test-'))
  if (homes.length === 0)
    process.once('exit', () => {
      for (const home of homes) rmSync(home, { recursive: true, force: true })
    })
  homes.push(folder)
  return { P2PRC: folder }
}

const homes: string[] = []

/** Runs the real command line to its end. */
export async function p2prc(env: NodeJS.ProcessEnv, ...args: string[]): Promise<Ran> {
  const child = spawnCli(env, args)
  const ran: Ran = { code: null, stdout: '', stderr: '' }
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    ran.stdout += chunk
  })
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    ran.stderr += chunk
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return { ...ran, code }
}

/** The same, and what it printed as JSON; throws with its words where it failed. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects from JSON, and fails where it is not there
export async function p2prcJson(env: NodeJS.ProcessEnv, ...args: string[]): Promise<any> {
  const { code, stdout, stderr } = await p2prc(env, ...args, '--json')
  if (code !== 0) throw new Error(`p2prc ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout)
}

export interface RunningNode {
  process: ChildProcess
  where: string
  port: number
  /** Resolves when what it printed so far, or prints from now on, matches. */
  printed(pattern: RegExp): Promise<void>
  /** Ends it as Ctrl-C does, and gives its exit code. */
  stop(): Promise<number | null>
}

/** How a node says where it listens, to a person and as JSON. */
const LISTENS = /(?:listens on |"addresses":\[")127\.0\.0\.1:(\d+)\D/

/** Starts the real node on loopback and waits until it listens. It is ended when the test ends. */
export async function startNode(t: TestContext, env: NodeJS.ProcessEnv, ...args: string[]): Promise<RunningNode> {
  // The node takes a free port by itself: one chosen here may be another's by the time that the node listens.
  const child = spawnCli(env, ['start', '--host', '127.0.0.1', '--port', '0', ...args])
  const output = follow(child)
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGINT')
      await once(child, 'exit')
    }
    return child.exitCode
  }
  t.after(stop)
  await output.printed(LISTENS)
  const port = Number(LISTENS.exec(output.said)?.[1])
  return { process: child, where: `127.0.0.1:${port}`, port, printed: output.printed, stop }
}

/** The real command line as a process that goes on. */
export function spawnCli(env: NodeJS.ProcessEnv, args: string[]): ChildProcess {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env
  return spawn(process.execPath, [cli, ...args], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
