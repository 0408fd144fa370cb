import { DHT_PORTS, DHT_PROCESS } from '../../../protocol/defaults/punched.ts'
import { AppError } from '../../../protocol/errors.ts'
import type { NodeId } from '../../../protocol/ids.ts'
import { loadHyperdht } from '../../net/punched/loadHyperdht.ts'
import type { DhtStart, FromDht, ToDht } from './messages.ts'
import { type Consent, openRelayDht, type RelayDht } from './relayDht.ts'

// The process in which a relay runs its DHT: hyperdht takes 40 MB, has compiled parts, and answers everybody. The node
// decides about every client, and ends the process by closing the pipe.

const send = (message: FromDht) => {
  if (process.connected) process.send?.(message)
}

let serials = 0
/** What waits for an answer of the node, by its serial number. */
const waiting = new Map<number, (granted: boolean) => void>()

const consent: Consent = {
  authorize(client) {
    const serial = --serials
    return answerTo(serial, { type: 'authorize', serial, client })
  },
  async take(serial, client, from) {
    if (!(await answerTo(serial, { type: 'take', serial, client, from }))) return undefined
    return () => send({ type: 'released', serial })
  },
}

function answerTo(serial: number, question: FromDht): Promise<boolean> {
  return new Promise((resolve) => {
    waiting.set(serial, resolve)
    send(question)
  })
}

let dht: RelayDht | undefined
const reported = new Map<number, number>()

async function start({ host, bind, port: wanted, seed }: DhtStart): Promise<void> {
  const Dht = await loadHyperdht()
  const { default: blindRelay } = await import('blind-relay')
  const options = { Dht, blindRelay, host, bind, seed: Buffer.from(seed, 'base64'), ...consent }
  for (let tries = 1; ; tries++) {
    const port = wanted + (tries - 1) * DHT_PORTS
    try {
      dht = await openRelayDht({ ...options, port })
      return send({ type: 'ready', port })
    } catch (error) {
      if (tries === DHT_PROCESS.portTries || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    }
  }
}

function reportTransfer(): void {
  const streams = dht?.streams() ?? []
  const changed = streams.filter(({ serial, bytes }) => bytes > (reported.get(serial) ?? 0))
  reported.clear()
  for (const { serial, bytes } of streams) reported.set(serial, bytes)
  if (changed.length > 0)
    send({ type: 'transferred', streams: changed.map(({ serial, bytes }) => ({ serial, bytes })) })
}

function fail(error: unknown): void {
  if (error instanceof AppError && error.code === 'punching_missing') send({ type: 'missing', why: error.what })
  else send({ type: 'failed', why: (error as Error).message })
  process.disconnect?.()
}

const handlers: { [Type in ToDht['type']]: (message: Extract<ToDht, { type: Type }>) => void } = {
  start: (message) => void start(message).catch(fail),
  answer({ serial, granted }) {
    waiting.get(serial)?.(granted)
    waiting.delete(serial)
  },
  close: ({ client }: { client: NodeId }) => dht?.closeClient(client),
}

process.on('message', (message: ToDht) => handlers[message.type](message as never))
process.on('uncaughtException', fail)
process.on('unhandledRejection', fail)
// Ctrl-C reaches the whole group of processes, and the node has streams to end first.
process.on('SIGINT', () => {})
process.once('disconnect', () => process.exit(0))
setInterval(reportTransfer, DHT_PROCESS.reportMs).unref()
