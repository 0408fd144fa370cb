import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { formatAddress } from '../protocol/net/address.ts'
import { makeLink, type subnets } from '../test/support/shapedLink.ts'
import { cli, ended, freePort, scratch, started, timed } from './processes.ts'

/** The kinds of addresses that nodes can have: all on this machine, or each in a network namespace of its own. */
export const addressKinds = ['loopback', 'private', 'public', 'ipv6'] as const
export type AddressKind = (typeof addressKinds)[number]

export interface StartedTogether {
  /** Seconds from when the last node listens until all tables are complete. */
  seconds: number
  /** A line for each node that another one dropped. All run all the time, so each is a false positive. */
  dropped: string[]
}

/** How long to wait for the tables before the run counts as failed. */
const MAX_MS = 120_000

/**
 * Starts nodes at the same moment, each of which is told the address of one other, and follows their events until every
 * table is complete. The start of a node takes the better part of a second of a core, so the processor is full meanwhile.
 */
export async function startTogether(kind: AddressKind, count: number): Promise<StartedTogether> {
  const network = kind === 'loopback' ? await loopback(count) : await namespaces(kind, count)
  const watches = network.nodes.map(() => watchNode(count))
  try {
    await Promise.all(network.nodes.map((start, index) => start(watches[index]?.read as (chunk: string) => void)))
    const listening = performance.now()
    const timeout = AbortSignal.timeout(MAX_MS)
    await Promise.race([
      Promise.all(watches.map(({ complete }) => complete)),
      new Promise((resolve) => timeout.addEventListener('abort', resolve)),
    ])
    const seconds = timeout.aborted ? Number.POSITIVE_INFINITY : (performance.now() - listening) / 1_000
    return { seconds, dropped: watches.flatMap(({ dropped }, index) => dropped.map((id) => `node ${index}: ${id}`)) }
  } finally {
    await network.close()
  }
}

/** Follows the events of one node: whom it knows by now, and whom it has dropped. */
function watchNode(count: number) {
  const known = new Set<string>()
  const dropped: string[] = []
  let rest = ''
  let resolve = () => {}
  const complete = new Promise<void>((done) => {
    resolve = done
  })
  const read = (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      // Most lines are other events, and parsing all of them would cost as much as the nodes do.
      if (!/^\{"type":"record\.(merged|dropped)"/.test(line)) continue
      const event = JSON.parse(line) as { type: string; id: string; record: { id: string } }
      if (event.type === 'record.merged') known.add(event.record.id)
      else {
        known.delete(event.id)
        dropped.push(event.id)
      }
      if (known.size === count - 1) resolve()
    }
  }
  return { complete, dropped, read }
}

interface Network {
  nodes: ((onOutput: (chunk: string) => void) => Promise<unknown>)[]
  close(): Promise<void>
}

const READY = /"type":"node\.started"/

/** Returns the one that started before it and that a node is told. */
function seedOf<T>(all: readonly T[], index: number): T[] {
  return all.slice(Math.floor((index - 1) / 2), Math.floor((index - 1) / 2) + 1)
}

async function namespaces(kind: keyof typeof subnets, count: number): Promise<Network> {
  const link = makeLink(count, kind)
  const addresses = link.machines.map(({ address }) => formatAddress({ host: address, port: 8_088 }))
  const nodes = link.machines.map((machine, index) => (onOutput: (chunk: string) => void) => {
    const args = [cli, 'start', ...seedOf(addresses, index), '--host', machine.address, '--port', '8088', '--json']
    return machine.start(process.execPath, args, READY, onOutput)
  })
  return { nodes, close: () => link.close() }
}

/** Nodes on this machine alone (`Test` in P2PRC's `config.json` lets them dial loopback addresses). */
async function loopback(count: number): Promise<Network> {
  const ports = await Promise.all(Array.from({ length: count }, freePort))
  const addresses = ports.map((port) => `127.0.0.1:${port}`)
  const homes = await Promise.all(ports.map(testHome))
  const running: Awaited<ReturnType<typeof started>>[] = []
  const nodes = ports.map((port, index) => async (onOutput: (chunk: string) => void) => {
    const args = [cli, 'start', ...seedOf(addresses, index), '--host', '127.0.0.1', '--port', String(port), '--json']
    const env = { ...homes[index], DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
    running.push(await started(args, env, READY, onOutput))
  })
  return { nodes, close: async () => void (await Promise.all(running.map(ended))) }
}

/** Creates a home whose network is this machine. */
export async function testHome(): Promise<{ P2PRC: string }> {
  const home = { P2PRC: scratch('links') }
  await timed([cli, 'init'], home)
  const path = join(home.P2PRC, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), Test: true }))
  return home
}
