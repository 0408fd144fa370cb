import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { BASE_PULL_SILENCE_TIMEOUT_MS } from '../../protocol/defaults/containerManager.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import { lineSplitter } from '../lines.ts'
import { type AptSource, formatAptSources, readAptSettings, readAptSources } from './aptSources.ts'
import type { Engine } from './engine.ts'

const REGISTRY_BASE = 'debian:bookworm-slim'
const FOLDER = 'p2prc-base-'
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

interface OperationOptions {
  onLine: (line: string) => void
  signal: AbortSignal
}

interface BaseSources {
  engine: Engine
  /** The base image to pull from a registry. */
  registryBase?: string
  /** A pull fails if it makes no progress for this many milliseconds. */
  silenceMs?: number
  /** The search path for programs. */
  path?: string
}

/**
 * A base image that the engine has: one that is there, else from a registry, else made here with debootstrap from this
 * machine's own apt sources. Gives its reference. Throws `base_missing` with what was tried.
 */
export async function resolveBase(from: BaseSources, options: OperationOptions): Promise<string> {
  const { engine, registryBase = REGISTRY_BASE, silenceMs = BASE_PULL_SILENCE_TIMEOUT_MS, path = PATH } = from
  const { codename, sources } = await readAptSources().catch(() => ({ codename: '', sources: [] as AptSource[] }))
  const own = `p2prc/base:${codename}`
  if (await engine.hasImage(registryBase)) return registryBase
  if (codename && (await engine.hasImage(own))) return own
  const pullError = await pull(engine, registryBase, silenceMs, options)
  if (!pullError) return registryBase
  const [mirror] = sources
  const baseMissing = (also: string) =>
    new AppError('base_missing', { why: `the registry: ${pullError.message}; ${also}` }, pullError)
  if (!mirror) throw baseMissing('this machine has no apt sources to make it from')
  options.onLine(`The registry does not give ${registryBase}; making a base with debootstrap (${codename})`)
  try {
    await makeBase({ engine, path, sources, mirror, name: own }, options)
  } catch (error) {
    if (toAppError(error).code === 'engine_missing') throw error
    throw baseMissing((error as Error).message)
  }
  return own
}

/** Pulls the image. Returns undefined on success, or the error. Throws if the engine is gone. */
async function pull(
  engine: Engine,
  reference: string,
  silenceMs: number,
  options: OperationOptions,
): Promise<AppError | undefined> {
  const silence = new AbortController()
  let timer: NodeJS.Timeout | undefined
  const wait = () => {
    clearTimeout(timer)
    timer = setTimeout(() => silence.abort(), silenceMs)
  }
  wait()
  try {
    const onLine = (line: string) => {
      wait()
      options.onLine(line)
    }
    await engine.pull(reference, onLine, AbortSignal.any([silence.signal, options.signal]))
    return undefined
  } catch (error) {
    if (options.signal.aborted) throw error
    if (silence.signal.aborted) return new AppError('timed_out', { where: 'the registry', ms: silenceMs })
    const failure = toAppError(error)
    if (failure.code === 'engine_missing') throw failure
    return failure
  } finally {
    clearTimeout(timer)
  }
}

interface DebootstrapOptions {
  engine: Engine
  path: string
  mirror: AptSource
  sources: AptSource[]
  name: string
}

async function makeBase(
  { engine, path, mirror, sources, name }: DebootstrapOptions,
  options: OperationOptions,
): Promise<void> {
  await removeOrphanedFolders()
  // The process id lets a later node recognize a folder that a killed node left behind.
  const root = await mkdtemp(join(tmpdir(), `${FOLDER}${process.pid}-`))
  try {
    await run('debootstrap', ['--variant=minbase', mirror.suite, root, mirror.uri], path, options)
    await writeFile(join(root, 'etc/apt/sources.list'), formatAptSources(sources))
    await writeFile(join(root, 'etc/apt/apt.conf.d/90lender'), await readAptSettings())
    const skip = ['./var/cache/apt/*', './var/lib/apt/lists/*', './proc/*', './sys/*', './dev/*', './debootstrap']
    const args = ['--numeric-owner', ...skip.map((what) => `--exclude=${what}`), '-C', root, '-c', '.']
    await run('tar', args, path, options, (tar) => engine.importImage(tar, name, options.onLine, options.signal))
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

/** Runs a program and passes each line of its output to `onLine`, or the output to `consume`. Rejects if its exit code is not 0. */
async function run(
  program: string,
  args: string[],
  path: string,
  options: OperationOptions,
  consume?: (output: Readable) => Promise<void>,
): Promise<void> {
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    // The environment has only what these programs need, and neither the locale nor the agents of the lender.
    env: { PATH: path, LC_ALL: 'C', HOME: '/root' },
    // The program gets SIGTERM and not SIGKILL, so that debootstrap can unmount what it has mounted.
    signal: options.signal,
    killSignal: 'SIGTERM',
  })
  let last = ''
  const splitter = lineSplitter((line) => {
    last = line
    options.onLine(line)
  })
  child.stderr.on('data', (chunk: Buffer) => splitter.write(chunk))
  if (!consume) child.stdout.on('data', (chunk: Buffer) => splitter.write(chunk))
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') reject(new Error(`${program} is not installed`))
    })
    child.once('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${program} exited with ${code ?? signal}: ${last}`))
    })
  })
  const consumed = consume?.(child.stdout).catch((error) => {
    child.kill()
    throw error
  })
  // The folder may be removed only after the program has ended, so this waits for both. The consumer's error is the more precise.
  const [exitResult, consumeResult] = await Promise.allSettled([ended, consumed])
  if (consumeResult.status === 'rejected') throw consumeResult.reason
  if (exitResult.status === 'rejected') throw exitResult.reason
}

/** Removes what killed nodes have left in the temporary folder. */
async function removeOrphanedFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = new RegExp(`^${FOLDER}(\\d+)-`).exec(name)?.[1]
    if (pid && !alive(Number(pid))) await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => {})
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
