import type { Duplex } from 'node:stream'
import { createYamux, type YamuxEnd } from '../frp/yamux.ts'

/** How the connections of one session reach the relay. */
export interface FrpTransport {
  /** Opens the control connection first, and then one stream for each work connection. */
  open(): Promise<Duplex>
  /** Ends every stream. */
  close(): void
  /** Resolves when no stream works any more. Never, if each stream is a connection of its own. */
  readonly ended: Promise<YamuxEnd>
}

/** All streams over one connection, as stock frp does by default. */
export async function multiplexed(connect: () => Promise<Duplex>): Promise<FrpTransport> {
  const session = createYamux(await connect(), { role: 'client' })
  return { open: async () => session.open(), close: () => session.close(), ended: session.ended }
}

/**
 * As the relay speaks, which it does not tell: one without a multiplexer takes what begins a session for a message of an
 * unknown type, and closes the connection at once.
 */
export async function detected(connect: () => Promise<Duplex>): Promise<FrpTransport> {
  const connection = await connect()
  const isMultiplexed = new Promise<boolean>((resolve) => {
    connection.once('data', () => resolve(true)).once('close', () => resolve(false))
  })
  const session = createYamux(connection, { role: 'client' })
  const first = session.open()
  if (!(await isMultiplexed)) return unmultiplexed(connect)
  let opened: Duplex | undefined = first
  return {
    async open() {
      const stream = opened ?? session.open()
      opened = undefined
      return stream
    },
    close: () => session.close(),
    ended: session.ended,
  }
}

/** A connection for each stream, which is faster where connections are cheap. */
export function unmultiplexed(connect: () => Promise<Duplex>): FrpTransport {
  const open = new Set<Duplex>()
  return {
    async open() {
      const stream = await connect()
      open.add(stream)
      stream.once('close', () => open.delete(stream))
      return stream
    },
    close() {
      for (const stream of open) stream.destroy()
    },
    ended: new Promise(() => {}),
  }
}
