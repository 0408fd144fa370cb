import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** What benches and tests need of the programs that they start. */

/** What a program prints, on both streams, as it comes. */
export interface Output {
  readonly said: string
  /** Resolves when what it has printed, or prints from now on, matches. Rejects with all of it where it ends before. */
  printed(what: string | RegExp): Promise<void>
  /** Its exit code, when all that it printed has come; null where a signal ended it. */
  readonly ended: Promise<number | null>
}

/** Call it before the program has had time to print: what came earlier is lost. */
export function follow(child: ChildProcess): Output {
  let said = ''
  const looks = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      said += chunk
      for (const look of looks) look()
    })
  }
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  return {
    get said() {
      return said
    },
    printed: (what) =>
      new Promise((resolve, reject) => {
        const look = () => {
          if (typeof what === 'string' ? !said.includes(what) : !what.test(said)) return
          looks.delete(look)
          resolve()
        }
        looks.add(look)
        void ended.then((code) => reject(new Error(`it ended with ${code} before it said ${what}:\n${said}`)))
        look()
      }),
    ended,
  }
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
