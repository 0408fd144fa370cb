import { type EventObject, fromCallback } from 'xstate'
import type { DhtEmits } from '../../machines/relay/dht.ts'
import { lentDhtMachine } from '../../machines/relay/lentDht.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { isIPv4 } from '../../protocol/net/address.ts'
import type { LentPortView } from '../../protocol/relay.ts'
import type { Identity } from '../identity.ts'
import type { RelayQuota } from './quota.ts'

/** The program of the process, for which tests have another one. */
type Start = typeof import('./dht.ts').startRelayDht

export interface LentDhtOptions {
  identity: Pick<Identity, 'tls'>
  quota: Pick<RelayQuota, 'takePair'>
  listenAddresses: { port: number; hosts: readonly string[] }
  authorize(client: NodeId): boolean
  /** The clients that have streams, whenever that changes. */
  onClients(clients: readonly NodeId[]): void
}

export interface LentDht {
  logic: typeof lentDhtMachine
  /** A row for each of these clients. */
  viewsOf(clients: readonly NodeId[]): LentPortView[]
  endStreams(clients: readonly NodeId[]): void
}

/** The UDP ports through which nodes behind routers find each other, and what goes through them. */
export function createLentDht({ identity, quota, listenAddresses, authorize, onClients }: LentDhtOptions): LentDht {
  let current: { process: ReturnType<Start>; port: number } | undefined

  const dht = fromCallback<EventObject, { host: string; signal: AbortSignal }, DhtEmits>(
    ({ input: { host, signal }, sendBack }) => {
      let isEnded = false
      let stop = () => {
        isEnded = true
      }
      const end = () => {
        signal.removeEventListener('abort', end)
        current = undefined
        stop()
      }
      signal.addEventListener('abort', end)
      // The code is loaded where it is wanted.
      import('./dht.ts').then(
        ({ startRelayDht }) => {
          if (isEnded) return
          const [bind] = listenAddresses.hosts.filter(isIPv4)
          const process = startRelayDht({
            ...{ identity, host, port: listenAddresses.port, quota, authorize, ...(bind && { bind }) },
            onStreams: () => onClients(clientsOf(process)),
            onChange: (change) => {
              if (isEnded) return
              if (change.type === 'dht.started') current = { process, port: change.port }
              sendBack(change)
            },
          })
          stop = () => {
            isEnded = true
            process.stop()
          }
        },
        (error) => sendBack({ type: 'dht.stopped', why: String(error) }),
      )
      return end
    },
  )

  return {
    logic: lentDhtMachine.provide({ actors: { dht } }),
    viewsOf(clients) {
      if (!current) return []
      const { process, port } = current
      const streams = process.streams()
      return clients.flatMap((client) => {
        const own = streams.filter((each) => each.client === client)
        const [first] = own
        if (!first) return []
        const bytes = own.reduce((sum, each) => sum + each.bytes, 0)
        const { from, since } = first
        return [
          { protocol: 'udp', port, name: 'punched', client, from, domains: [], since, connections: own.length, bytes },
        ]
      })
    },
    endStreams(clients) {
      for (const client of clients) current?.process.closeClient(client)
    },
  }
}

function clientsOf(process: ReturnType<Start>): NodeId[] {
  return [...new Set(process.streams().map(({ client }) => client))]
}
