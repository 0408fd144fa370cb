import { randomUUID } from 'node:crypto'
import type { TestContext } from 'node:test'
import { openHome } from '../../actors/home.ts'
import { createNode, type Node } from '../../actors/node.ts'
import { type Answer, commands } from '../../protocol/index.ts'
import { temporaryHome } from './processes.ts'

export type NodeHere = Node & { port: number; where: string }

/** A whole node in the test's own process: loopback is its network, its home is its own, and it finds no engine. */
export async function nodeHere(t: TestContext, env: NodeJS.ProcessEnv = temporaryHome()): Promise<NodeHere> {
  process.env.DOCKER_HOST = 'unix:///nonexistent/docker.sock'
  const home = await openHome(env)
  home.config.Test = true
  const node = await createNode({ home, listen: { host: '127.0.0.1', port: 0 }, open: false, onError })
  t.after(() => node.stop())
  const where = node.addresses[0] as string
  return { ...node, where, port: Number(where.split(':')[1]) }
}

/** Thrown where nobody catches it, so that the test in which it happened fails. */
function onError(error: unknown): void {
  queueMicrotask(() => {
    throw error
  })
}

/** The owner's command to it, and the fact that answered. */
// biome-ignore lint/suspicious/noExplicitAny: a test reads the fields that it expects
export async function request(node: Pick<Node, 'request'>, command: Record<string, unknown>): Promise<any> {
  const defaults = commands.get(String(command.type))?.schema.parse(command)
  const full = { requestId: randomUUID(), caller: 'owner', ...defaults, ...command }
  return (await node.request(full as never)) as Answer
}
