import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { openHome } from '../../actors/home.ts'
import { createNode, type Node, type NodeOptions } from '../../actors/node.ts'
import { type Answer, commands } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import { temporaryHome } from './processes.ts'

export type NodeHere = Node & { port: number; where: string }

/** Starts a whole node in the test's process: loopback is its network, it has its own home, and it finds no engine. */
export async function nodeHere(
  t: TestContext,
  env: NodeJS.ProcessEnv = temporaryHome(),
  options: Partial<NodeOptions> = {},
): Promise<NodeHere> {
  process.env.DOCKER_HOST = 'unix:///nonexistent/docker.sock'
  const home = await openHome(env)
  home.config.Test = true
  const node = await createNode({ home, listen: { host: '127.0.0.1', port: 0 }, open: false, onError, ...options })
  t.after(() => node.stop())
  const where = node.addresses[0] as string
  return { ...node, where, port: Number(where.split(':')[1]) }
}

/** Throws the error outside any handler, so that the current test fails. */
function onError(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

/** Sends a command of the owner to the node and resolves with its finishing fact. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads the fields that it expects
export async function request(node: Pick<Node, 'request'>, command: Record<string, unknown>): Promise<any> {
  const defaults = commands.get(String(command.type))?.schema.parse(command)
  const full = { requestId: randomUUID(), caller: 'owner', ...defaults, ...command }
  return (await node.request(full as never)) as Answer
}

/** Lists the peers of the node, the nearest first. */
export async function peersOf(node: Pick<Node, 'request'>): Promise<Peer[]> {
  const peers: Peer[] = []
  const onFact = (fact: Answer) => {
    if (fact.type === 'peer.page') peers.push(...fact.peers)
  }
  await node.request({ type: 'peer.list', requestId: randomUUID(), caller: 'owner' }, { onFact })
  return peers
}
