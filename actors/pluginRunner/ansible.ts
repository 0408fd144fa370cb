import { spawn } from 'node:child_process'
import { rmSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { HostStats, PlayEvent } from '../../machines/pluginRun.ts'
import { ANSIBLE_MIN_VERSION, PLUGIN_STOP_TIMEOUT_MS } from '../../protocol/defaults/pluginRunner.ts'
import { AppError, toFailure } from '../../protocol/errors.ts'
import { findProgram } from '../findProgram.ts'
import { captureTail, errorReason, parseEvent } from './ansibleEvents.ts'
import { ansibleEnvironment, runFiles } from './ansibleProgram.ts'

export interface Play {
  /** The plugin's name, for messages. */
  name: string
  folder: string
  /** Run without Mitogen. */
  stock: boolean
  forks: number
  /** The environment in which programs are looked up and started. */
  env: NodeJS.ProcessEnv
}

export interface PlayHandle {
  /** Resolves when no process of the play runs any more. Never rejects. */
  ended: Promise<void>
  /** Ends the play and everything that it started. May be called more than once. */
  stop(): void
}

/**
 * Runs the playbook over all members at once and emits its progress; the last event is `play.ended` or `play.failed`.
 */
export function play(options: Play, emit: (event: PlayEvent) => void): PlayHandle {
  const stopped = new AbortController()
  const ended = run(options, stopped.signal, emit).catch((error) =>
    emit({ type: 'play.failed', failure: toFailure(error) }),
  )
  return { ended: ended.then(() => closeControlSockets(options)), stop: () => stopped.abort() }
}

async function run(options: Play, stopped: AbortSignal, emit: (event: PlayEvent) => void): Promise<void> {
  const { name, folder, stock, forks, env } = options
  const program = await findProgram('ansible-playbook', env)
  if (!program) throw new AppError('program_missing', { name: 'ansible-playbook', package: 'ansible-core' })
  const at = (file: string) => join(folder, file)
  const args = [
    '-i',
    at(runFiles.inventory),
    '-e',
    `@${at(runFiles.vars)}`,
    '--forks',
    String(forks),
    at(runFiles.playbook),
  ]
  const environment = await ansibleEnvironment({ folder, program, stock }, env)
  if (stopped.aborted) return
  const child = spawn(program, args, {
    cwd: at(runFiles.plugin),
    env: environment,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    // Ansible gets its own process group, so that stopping it also ends its workers and their ssh processes.
    detached: true,
  })
  let stats: Record<string, HostStats> | undefined
  let version = '?'
  const output = captureTail([child.stdout as Readable, child.stderr as Readable])
  createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => {
    const event = parseEvent(line)
    if (event.kind === 'start') version = event.version
    else if (event.kind === 'stats') stats = event.hosts
    else if (event.kind === 'task' && !stopped.aborted) emit({ type: 'play.task', step: event.step })
  })
  const unregister = killOnExit(child.pid, folder)
  const code = await waitForExit(child, stopped).finally(unregister)
  if (stopped.aborted) return
  if (code === EXIT_TOO_OLD)
    throw new AppError('program_old', {
      name: 'ansible-playbook',
      found: version,
      needed: `ansible-core ${ANSIBLE_MIN_VERSION}`,
    })
  const hasFailures = Object.values(stats ?? {}).some(({ failures, unreachable }) => failures + unreachable > 0)
  if (stats && (code === 0 || hasFailures)) emit({ type: 'play.ended', stats })
  else throw new AppError('plugin_bad', { name, why: errorReason(output()) })
}

/** The exit code of the callback if Ansible is too old. */
const EXIT_TOO_OLD = 96

/**
 * Resolves with the exit code when the process has ended and its pipes are read. Rejects if it could not be started.
 */
function waitForExit(child: ReturnType<typeof spawn>, stopped: AbortSignal): Promise<number | null> {
  return new Promise((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined
    const stop = () => {
      signalGroup(child.pid, 'SIGINT')
      timer = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), PLUGIN_STOP_TIMEOUT_MS)
    }
    stopped.addEventListener('abort', stop)
    if (stopped.aborted) stop()
    const finish = (code: number | null) => {
      clearTimeout(timer)
      stopped.removeEventListener('abort', stop)
      // Workers that outlive Ansible would keep its connections and pipes open for ever.
      signalGroup(child.pid, 'SIGKILL')
      resolve(code)
    }
    child.on('error', reject)
    child.on('close', finish)
    child.on('exit', (code) => setTimeout(finish, PIPE_GRACE_MS, code).unref())
  })
}

/** How long processes that Ansible started may keep its pipes open after it has ended, in milliseconds. */
const PIPE_GRACE_MS = 1_000

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid) process.kill(-pid, signal)
  } catch {
    // The process group has ended already.
  }
}

/** Ends Ansible when this process exits during a play: Ansible has its own process group and would go on otherwise. */
function killOnExit(pid: number | undefined, folder: string): () => void {
  const end = () => {
    signalGroup(pid, 'SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
  process.on('exit', end)
  return () => process.off('exit', end)
}

/**
 * Closes ssh's control masters, which leave Ansible's process group and would otherwise run on for `ControlPersist`.
 */
async function closeControlSockets({ folder, env }: Play): Promise<void> {
  const control = join(folder, runFiles.control)
  const sockets = await readdir(control).catch(() => [])
  await Promise.all(
    sockets.map(
      (socket) =>
        new Promise<void>((resolve) => {
          const args = ['-F', '/dev/null', '-O', 'exit', '-o', `ControlPath=${join(control, socket)}`, 'member']
          const child = spawn('ssh', args, { env, stdio: 'ignore', timeout: PLUGIN_STOP_TIMEOUT_MS })
          child.on('error', () => resolve())
          child.on('close', () => resolve())
        }),
    ),
  )
}
