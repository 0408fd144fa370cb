import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** What a program prints on its standard output and standard error. */
export interface Output {
  /** Everything that has arrived so far. */
  readonly text: string
  /** Resolves when the output, past or future, matches. Rejects with the whole output if the program exits first. */
  printed(what: string | RegExp): Promise<void>
  /** Resolves with the exit code when both streams are closed; null if a signal ended the program. */
  readonly ended: Promise<number | null>
}

/** Collects the output of a program. Call it in the same tick as `spawn`, because earlier output is lost. */
export function follow(child: ChildProcess): Output {
  let text = ''
  const checks = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk
      for (const check of checks) check()
    })
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    get text() {
      return text
    },
    printed: (what) =>
      new Promise((resolve, reject) => {
        const check = () => {
          if (typeof what === 'string' ? !text.includes(what) : !what.test(text)) return
          checks.delete(check)
          resolve()
        }
        checks.add(check)
        void ended.then((code) =>
          reject(new Error(`the program exited with ${code} before its output matched ${what}:\n${text}`)),
        )
        check()
      }),
    ended,
  }
}

/** Returns a TCP port that is free on loopback. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
