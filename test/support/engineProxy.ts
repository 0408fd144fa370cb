import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * The point of an exchange at which the connection breaks: before the engine sees the request, before its answer, or
 * in the middle of it.
 */
export type CutAt = 'request' | 'answer' | 'middle'

export interface EngineProxy {
  socketPath: string
  /** The requests that reached the engine, as `METHOD /path`, without the API version. */
  readonly seen: string[]
  /**
   * Breaks the connection at the next request that matches. With `all`, every other connection breaks too and no more
   * are accepted until `restore`, as when the engine stops. Resolves when it has happened.
   */
  cut(matches: RegExp, at: CutAt, options?: { all?: boolean }): Promise<void>
  /**
   * From the next request that matches, nothing passes in either direction, and the connection stays open. The client
   * can be killed at exactly this point; after a cut it would see the error, and its rollback would reach the engine.
   */
  stall(matches: RegExp, at: 'request' | 'answer'): Promise<void>
  /** Delays the next request that matches; resolves with the function that forwards it to the engine. */
  hold(matches: RegExp): Promise<() => void>
  /** Accepts connections again. */
  restore(): void
  /** Breaks every connection now and accepts none until `restore`. */
  down(): void
  close(): Promise<void>
}

const ENGINE_SOCKET = '/var/run/docker.sock'

/** Creates a real socket in front of the real engine whose connections can be cut. */
export async function createEngineProxy(upstream = ENGINE_SOCKET): Promise<EngineProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'engine-proxy-'))
  const socketPath = join(folder, 'engine.sock')
  const sockets = new Set<Socket>()
  const seen: string[] = []
  let closed = false
  let holdRule: { matches: RegExp; onHeld: (pass: () => void) => void } | undefined
  let stalled = false
  let faultRule: { matches: RegExp; at: CutAt; all: boolean; silent: boolean; done: () => void } | undefined

  const breakAll = () => {
    closed = true
    for (const socket of sockets) socket.destroy()
  }

  // Each side may close its half alone, as happens with the input of a program in a container.
  const server = createServer({ allowHalfOpen: true }, (client) => {
    if (closed) return client.destroy()
    const engine = connect({ path: upstream, allowHalfOpen: true })
    for (const socket of [client, engine]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
      socket.on('error', () => {})
    }
    client.on('close', () => engine.destroy())
    engine.on('close', () => client.destroy())
    let armed: typeof faultRule
    const fire = () => {
      const { all = false, silent = false, done } = armed ?? {}
      faultRule = undefined
      if (silent) stalled = true
      else client.destroy()
      if (all) breakAll()
      done?.()
    }
    client.on('data', (chunk) => {
      if (stalled) return
      const [, method, path] = /^(GET|POST|PUT|DELETE) (?:\/v[\d.]+)?(\S+) HTTP/.exec(chunk.toString('latin1')) ?? []
      if (method) {
        const request = `${method} ${path}`
        seen.push(request)
        if (faultRule?.matches.test(request)) armed = faultRule
        if (armed?.at === 'request') return fire()
        if (holdRule?.matches.test(request)) {
          const { onHeld } = holdRule
          holdRule = undefined
          client.pause()
          onHeld(() => {
            engine.write(chunk)
            client.resume()
          })
          return
        }
      }
      engine.write(chunk)
    })
    client.on('end', () => engine.end())
    engine.on('data', (chunk) => {
      if (stalled) return
      if (armed?.at === 'middle') {
        client.write(chunk.subarray(0, chunk.length - 3), fire)
        return
      }
      if (armed) fire()
      else client.write(chunk)
    })
    engine.on('end', () => client.end())
  })
  await new Promise<void>((resolve) => server.listen(socketPath, resolve))

  return {
    socketPath,
    seen,
    cut: (matches, at, { all = false } = {}) =>
      new Promise((done) => {
        faultRule = { matches, at, all, silent: false, done }
      }),
    stall: (matches, at) =>
      new Promise((done) => {
        faultRule = { matches, at, all: false, silent: true, done }
      }),
    hold: (matches) =>
      new Promise((onHeld) => {
        holdRule = { matches, onHeld }
      }),
    restore() {
      closed = false
    },
    down: breakAll,
    async close() {
      breakAll()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}
