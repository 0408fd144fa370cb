import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { TestContext } from 'node:test'
import { follow } from '../../bench/children.ts'
import type { Finding } from '../../protocol/doctor.ts'

export { freePort } from '../../bench/children.ts'

/** The bundle that users run; `npm test` builds it first. */
const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

/** The result of one run of the command line. */
export interface Ran {
  code: number | null
  stdout: string
  stderr: string
}

/**
 * Creates a home for one test. It is removed with the test's process, not with the test, because the cleanup of a
 * test, such as the removal of its containers, still needs the node's key.
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

/** Runs the real command line and waits for its exit. */
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

/** Runs the command line with `--json` and parses the result, which is the last line; throws with its error output if it failed. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads what it expects from JSON, and fails where it is not there
export async function p2prcJson(env: NodeJS.ProcessEnv, ...args: string[]): Promise<any> {
  const { code, stdout, stderr } = await p2prc(env, ...args, '--json')
  if (code !== 0) throw new Error(`p2prc ${args.join(' ')} ended with ${code}: ${stderr}`)
  return JSON.parse(stdout.trimEnd().split('\n').at(-1) as string)
}

/** Runs `p2prc doctor`, which ends with 1 where something is broken. `of` returns what one check has found. */
export async function findingsOf(env: NodeJS.ProcessEnv, ...args: string[]) {
  const { code, stdout, stderr } = await p2prc(env, 'doctor', ...args, '--json')
  const lines = stdout.trimEnd().split('\n')
  const document = JSON.parse(lines.at(-1) as string)
  const findings: Finding[] = document.findings
  const progress = lines.slice(0, -1).map((line) => JSON.parse(line))
  return {
    code,
    stderr,
    document,
    findings,
    progress,
    of: (check: string) => findings.find((one) => one.check === check),
  }
}

export interface RunningNode {
  process: ChildProcess
  where: string
  port: number
  /** Resolves when its output, past or future, matches. */
  printed(pattern: RegExp): Promise<void>
  /** Ends it as Ctrl-C does, and resolves with its exit code. */
  stop(): Promise<number | null>
}

const START_ARGS = ['start', '--host', '127.0.0.1', '--port', '0']

/** A node's report of its address, as text and as JSON. */
const LISTENS = /(?:listens on |"addresses":\[")127\.0\.0\.1:(\d+)\D/

/** Starts the real node on loopback and waits until it listens. It is stopped when the test ends. */
export async function startNode(t: TestContext, env: NodeJS.ProcessEnv, ...args: string[]): Promise<RunningNode> {
  // The node chooses a free port itself: another process could take a port that is chosen here before the node listens.
  return listeningNode(t, spawnCli(env, [...START_ARGS, ...args]))
}

/** Starts the real node on loopback with a limit of open files, which the system enforces. */
export function startNodeWithOpenFiles(t: TestContext, env: NodeJS.ProcessEnv, openFiles: number) {
  return listeningNode(t, spawnCli(env, START_ARGS, ['prlimit', `--nofile=${openFiles}:${openFiles}`]))
}

async function listeningNode(t: TestContext, child: ChildProcess): Promise<RunningNode> {
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
  const port = Number(LISTENS.exec(output.text)?.[1])
  return { process: child, where: `127.0.0.1:${port}`, port, printed: output.printed, stop }
}

/** Starts the real command line as a process, in `wrapper` if there is one, and does not wait for it. */
export function spawnCli(env: NodeJS.ProcessEnv, args: string[], wrapper: string[] = []): ChildProcess {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env
  const [program, ...rest] = [...wrapper, process.execPath, cli, ...args] as [string, ...string[]]
  return spawn(program, rest, {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}
