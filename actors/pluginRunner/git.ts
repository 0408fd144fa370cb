import { spawn } from 'node:child_process'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { PULL } from '../../protocol/defaults/pluginRunner.ts'
import { AppError } from '../../protocol/errors.ts'

export interface GitOptions {
  env: NodeJS.ProcessEnv
  /** Whether `ssh://` is allowed beside `https://`. */
  ssh: boolean
  /** Certificates of the authorities that are trusted instead of the system's. */
  caFile?: string | undefined
  signal: AbortSignal
  /** The folder that is watched while git runs: git is ended if it grows beyond `PULL.maxFetchBytes`. */
  folder: string
}

const WATCH_MS = 250

/**
 * Runs git and resolves with its output. git does not prompt, reads no configuration of the user or the system, runs
 * no hook, and uses only the allowed protocols. Rejects with an `Error` that holds git's last error line, or with
 * `program_missing`.
 */
export function git(args: readonly string[], { env, ssh, caFile, signal, folder }: GitOptions): Promise<string> {
  const settings = ['protocol.file.allow=never', 'core.hooksPath=/dev/null']
  return new Promise((resolve, reject) => {
    const child = spawn('git', [...settings.flatMap((setting) => ['-c', setting]), ...args], {
      env: { ...gitEnvironment(env, ssh), ...(caFile && { GIT_SSL_CAINFO: caFile }) },
      stdio: ['ignore', 'pipe', 'pipe'],
      // A separate session has no terminal at which ssh could prompt, and can be ended as a whole.
      detached: true,
    })
    let why: Error | undefined
    const end = (reason: Error) => {
      why ??= reason
      try {
        if (child.pid) process.kill(-child.pid, 'SIGKILL')
      } catch {
        // The process has ended already.
      }
    }
    const onAbort = () => end(new AppError('interrupted'))
    const late = setTimeout(() => end(new Error(`git took longer than ${PULL.timeoutMs / 1_000} s`)), PULL.timeoutMs)
    const watch = setInterval(async () => {
      if ((await bytesIn(folder)) > PULL.maxFetchBytes) end(new Error(`it is larger than ${PULL.maxFetchBytes} bytes`))
    }, WATCH_MS)
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
    const out: Buffer[] = []
    let stderrTail = ''
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => {
      stderrTail = (stderrTail + chunk.toString('utf8')).slice(-4_096)
    })
    const cleanUp = () => {
      clearTimeout(late)
      clearInterval(watch)
      signal.removeEventListener('abort', onAbort)
    }
    child.on('error', (error: NodeJS.ErrnoException) => {
      cleanUp()
      reject(error.code === 'ENOENT' ? new AppError('program_missing', { name: 'git', package: 'git' }) : error)
    })
    child.on('close', (code) => {
      cleanUp()
      if (why) reject(why)
      else if (code === 0) resolve(Buffer.concat(out).toString('utf8'))
      else reject(new Error(lastErrorLine(stderrTail) || `git ended with ${code}`))
    })
  })
}

function gitEnvironment(env: NodeJS.ProcessEnv, ssh: boolean): NodeJS.ProcessEnv {
  const wanted =
    /^(PATH|HOME|TMPDIR|https?_proxy|all_proxy|no_proxy|SSL_CERT_FILE|SSL_CERT_DIR|GIT_SSL_CAINFO|GIT_SSL_CAPATH|SSH_AUTH_SOCK)$/i
  return {
    ...Object.fromEntries(Object.entries(env).filter(([key]) => wanted.test(key))),
    LC_ALL: 'C.UTF-8',
    GIT_ALLOW_PROTOCOL: ssh ? 'https:ssh' : 'https',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_LFS_SKIP_SMUDGE: '1',
  }
}

async function bytesIn(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const sizes = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      stat(join(entry.parentPath, entry.name)).then(
        ({ size }) => size,
        () => 0,
      ),
    )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** The lines that git prints after every failure of ssh; the line before them holds the reason. */
const genericLine =
  /^(fatal: Could not read from remote repository|Please make sure you have the correct access|and the repository exists)/

function lastErrorLine(stderrTail: string): string {
  const lines = stderrTail.split(/[\r\n]+/).filter((line) => line.trim() !== '' && !genericLine.test(line))
  const fatal = lines.filter((line) => /^(fatal|error|remote):/.test(line))
  return (fatal.at(-1) ?? lines.at(-1) ?? '').replace(/[^\x20-\x7e]/g, '?').slice(0, 300)
}
