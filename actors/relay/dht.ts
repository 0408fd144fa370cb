import { fork } from 'node:child_process'
import { extname, join } from 'node:path'
import { createActor, type EventObject, fromCallback } from 'xstate'
import { type DhtEmits, type DhtProcessEmits, dhtMachine } from '../../machines/relay/dht.ts'
import { DHT_PROCESS } from '../../protocol/defaults/punched.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { Identity } from '../identity.ts'
import { seedOf } from '../net/punched/nodeKeys.ts'
import { once } from '../once.ts'
import type { FromDht, RelayedStream, ToDht } from './dht/messages.ts'
import type { RelayQuota, Release } from './quota.ts'

export interface RelayDhtProcessOptions {
  identity: Pick<Identity, 'tls'>
  /** The public IPv4 address of this machine, as peers see it. Its ports must be open for UDP. */
  host: string
  /** The address to bind; all of IPv4 if absent. */
  bind?: string
  /** The first UDP port that is tried. */
  port: number
  /** Whether a node may be relayed. */
  authorize(client: NodeId): boolean
  quota: Pick<RelayQuota, 'takePair'>
  onChange?(change: DhtEmits): void
  /** A stream was added or has ended. */
  onStreams?(): void
  /** The program of the process, and the options of Node for it. */
  script?: string
  execArgv?: readonly string[]
}

/** A stream of a client that this relay passes on, and since when, in milliseconds since 1970. */
export type RelayedStreamView = RelayedStream & { since: number }

/** The DHT of a relay and its blind relay: UDP ports over which nodes behind routers find each other. */
export interface RelayDhtProcess {
  streams(): RelayedStreamView[]
  /** Ends the streams of a client. */
  closeClient(client: NodeId): void
  /** Resolves when the process has ended. */
  stop(): Promise<void>
}

/** Beside this file in the source, and beside the node in a build. */
const programs = { '.ts': 'dht/relayDhtProcess.ts', '.js': 'relayDhtProcess.js' }

const program = () => join(import.meta.dirname, programs[extname(import.meta.filename) as keyof typeof programs])

/** Starts the process, and again whenever it has ended, until `stop`. */
export function startRelayDht(options: RelayDhtProcessOptions): RelayDhtProcess {
  const { onChange = () => {}, onStreams = () => {}, quota, authorize } = options
  const streams = new Map<number, RelayedStreamView & { release: Release }>()
  let send = (_message: ToDht) => {}
  let ended = Promise.resolve()

  const dhtProcess = fromCallback<EventObject, undefined, DhtProcessEmits>(({ sendBack }) => {
    const child = fork(options.script ?? program(), [], {
      // The last one counts, where this process has a limit of its own.
      execArgv: [...(options.execArgv ?? process.execArgv), `--max-old-space-size=${DHT_PROCESS.heapMb}`],
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    let why = ''
    send = (message) => {
      if (child.connected) child.send(message, () => {})
    }
    child.on('message', (message: FromDht) => {
      if (message.type === 'ready') sendBack({ type: 'process.ready', port: message.port })
      else if (message.type === 'missing') sendBack({ type: 'process.missing', why: message.why })
      else if (message.type === 'failed') why = message.why
      else receive(message)
    })
    ended = new Promise((resolve) => {
      const end = (reason: string) => {
        clearTimeout(timer)
        releaseAll()
        sendBack({ type: 'process.ended', why: why || reason })
        resolve()
      }
      // It is not closed where the pipe was closed from this end.
      child.once('exit', (code, signal) => end(`it ended with ${signal ?? code}`))
      child.on('error', ({ message }) => end(message))
    })
    let timer: NodeJS.Timeout | undefined
    const { host, bind = '0.0.0.0', port, identity } = options
    send({ type: 'start', host, bind, port, seed: seedOf(identity).toString('base64') })
    return () => {
      if (child.connected) child.disconnect()
      timer = setTimeout(() => child.kill('SIGKILL'), DHT_PROCESS.stopTimeoutMs)
    }
  })

  function receive(message: Exclude<FromDht, { type: 'ready' | 'missing' | 'failed' }>): void {
    if (message.type === 'authorize') {
      send({ type: 'answer', serial: message.serial, granted: authorize(message.client) })
    } else if (message.type === 'take') {
      const { serial, client, from } = message
      const release = authorize(client) ? quota.takePair(client) : undefined
      if (release) streams.set(serial, { serial, client, from, bytes: 0, since: Date.now(), release })
      send({ type: 'answer', serial, granted: release !== undefined })
      if (release) onStreams()
    } else if (message.type === 'released') {
      streams.get(message.serial)?.release()
      streams.delete(message.serial)
      onStreams()
    } else {
      for (const { serial, bytes } of message.streams) {
        const known = streams.get(serial)
        if (known) known.bytes = bytes
      }
    }
  }

  function releaseAll(): void {
    for (const { release } of streams.values()) release()
    streams.clear()
    onStreams()
  }

  const actor = createActor(dhtMachine.provide({ actors: { process: dhtProcess } }))
  actor.on('*', onChange)
  actor.subscribe({ error: (error) => onChange({ type: 'dht.stopped', why: String(error) }) })
  actor.start()
  return {
    streams: () => [...streams.values()].map(({ release: _, ...view }) => view),
    closeClient: (client) => send({ type: 'close', client }),
    stop: once(async () => {
      actor.stop()
      await ended
    }),
  }
}
