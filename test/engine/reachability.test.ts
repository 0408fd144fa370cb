import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { ReachChanged } from '../../protocol/reachability.ts'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab, type NatLab, type Router, type RouterOptions } from '../support/natLab.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

async function lab(t: TestContext, publicMachines: number, routers: readonly RouterOptions[]): Promise<NatLab> {
  const made = await makeNatLab({ publicMachines, routers })
  t.after(() => made.close())
  return made
}

/** Starts a node that knows the others, and resolves with the first way to reach it whose JSON has this text. */
async function reachOf(machine: Machine, text: string, ...others: string[]): Promise<ReachChanged> {
  let output = ''
  const { address } = machine
  const args = [cli, 'start', '--json', '--host', address, '--port', '8088', ...others]
  await machine.start(
    process.execPath,
    args,
    new RegExp(`"type":"reach\\.changed"[^\\n]*${text}[^\\n]*\\n`),
    (chunk) => {
      output += chunk
    },
  )
  const lines = output.split('\n').filter((line) => line.includes('"type":"reach.changed"') && line.includes(text))
  return JSON.parse(lines[0] as string)
}

const stateOf = ({ state, endpoints }: ReachChanged) => [
  state,
  ...endpoints.map((one) => `${formatEndpoint(one.endpoint)} ${one.state} ${one.why?.code ?? ''}`.trim()),
]

test('a public node is reachable at its address; behind a router it is not, and knows why', async (t) => {
  const { publicMachines, routers } = await lab(t, 2, [{ kind: 'portRestricted' }])
  const [first, second] = publicMachines as [Machine, Machine]
  const [router] = routers as [Router]
  await first.startNode()
  const where = `${first.address}:8088`
  const [open, behind] = await Promise.all([
    reachOf(second, '"by":', where),
    reachOf(router.machines[0] as Machine, '"by":', where),
  ])
  assert.deepEqual(stateOf(open), ['reachable', `${second.address}:8088 reachable`])
  assert.deepEqual(stateOf(behind), ['unreachable', `${router.address}:8088 unreachable timed_out`])
})

test('two nodes behind one router, and nobody else: they reach each other, and know of no outside', async (t) => {
  const { routers } = await lab(t, 0, [{ kind: 'symmetric', machines: 2 }])
  const [first, second] = (routers[0] as Router).machines as [Machine, Machine]
  await first.startNode()
  assert.deepEqual(stateOf(await reachOf(second, '"by":', `${first.address}:8088`)), [
    'unknown',
    `${second.address}:8088 reachable`,
  ])
})
