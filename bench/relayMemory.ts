import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { loadIdentity } from '../actors/identity.ts'
import { type RelayDhtProcess, startRelayDht } from '../actors/relay/dht.ts'
import { createRelayQuota } from '../actors/relay/quota.ts'
import { RELAY_LIMITS } from '../protocol/defaults/relay.ts'
import { type Figure, figure } from './measure.ts'
import { cli, ended, freePort, scratch, started, startedNode } from './processes.ts'

/** What a relay with 1,000 idle tunnels, and the process of its DHT, may take in MB. */
const CLIENTS = 63
const PORTS = 16
const RELAY_MB = 150
const DHT_MB = 80

/** The first UDP port that is tried. */
const DHT_PORT = 49_900

/** A process idles for this long before its memory is read. */
const IDLE_MS = 5_000

/** Measures a whole node of the build to which many clients have logged in. */
export async function relayMemory(host: string): Promise<Figure> {
  const port = await freePort()
  const node = await startedNode(scratch('relay'), port)
  const clients = await started([host, 'idle', String(port), String(CLIENTS), String(PORTS)], {}, /ready \d+/)
  if (!clients.text.includes(`ready ${CLIENTS * PORTS}`)) throw new Error(`not all ports are open: ${clients.text}`)
  await wait(IDLE_MS)
  const pair = { unit: 'MB', goal: { sign: '≤', ratio: 1 }, rounds: 1 } as const
  const what = `memory of a node that lends ${CLIENTS * PORTS} idle ports to ${CLIENTS} nodes`
  const measured = figure({ ...pair, what, baseline: `${RELAY_MB} MB` }, resident(node), RELAY_MB)
  await ended(clients)
  await ended(node)
  return measured
}

/** Measures the process of a relay's DHT, which a node starts when a peer needs it. */
export async function dhtMemory(): Promise<Figure> {
  const folder = scratch('dht')
  const identity = await loadIdentity({ key: join(folder, 'key'), publicKey: join(folder, 'key.pub') }, 'relay')
  const script = join(dirname(cli), 'relayDhtProcess.js')
  const begun = await new Promise<RelayDhtProcess>((resolve, reject) => {
    const relay = startRelayDht({
      ...{ identity, host: '127.0.0.1', bind: '127.0.0.1', port: DHT_PORT, script, execArgv: [] },
      authorize: () => true,
      quota: createRelayQuota(RELAY_LIMITS, () => false),
      onChange: (change) => (change.type === 'dht.started' ? resolve(relay) : reject(new Error(change.type))),
    })
  })
  await wait(IDLE_MS)
  const child = childrenOf({ pid: process.pid }).find(({ command }) => command.includes(script))
  const used = child ? resident(child) : Number.POSITIVE_INFINITY
  await begun.stop()
  const pair = { unit: 'MB', goal: { sign: '≤', ratio: 1 }, rounds: 1 } as const
  return figure({ ...pair, what: "memory of the process of a relay's DHT", baseline: `${DHT_MB} MB` }, used, DHT_MB)
}

function childrenOf({ pid }: { pid?: number | undefined }): { pid: number; command: string }[] {
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean)
  return pids.map((child) => ({ pid: Number(child), command: readFileSync(`/proc/${child}/cmdline`, 'utf8') }))
}

function resident({ pid }: { pid?: number | undefined }): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1_000
}
