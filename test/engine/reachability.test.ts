import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'
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

const hasMiniupnpd = spawnSync('miniupnpd', ['--version']).error === undefined

test('behind a router with UPnP a node is reached at the port that it maps, and the mapping goes with the node', {
  skip: !hasMiniupnpd && 'miniupnpd is not installed',
}, async (t) => {
  const { publicMachines, routers } = await lab(t, 1, [{ kind: 'portRestricted', upnp: true }])
  const [first] = publicMachines as [Machine]
  const [router] = routers as [Router]
  const [machine] = router.machines as [Machine]
  await first.startNode()
  const reach = await reachOf(machine, '"state":"confirmed"', `${first.address}:8088`)
  assert.deepEqual(stateOf(reach), ['reachable', `mapped://${router.address}:8088 reachable`])
  const rules = () => router.run('nft', 'list', 'table', 'inet', 'upnp')
  assert.match(await rules(), /dport 8088 dnat/)
  // Whoever learns of it by gossip reaches it there.
  const isListed = async () => {
    const listed = await first.p2prc<{ ip_address: { Addresses?: string[] }[] }>('ls')
    return listed.ip_address.some((row) => row.Addresses?.includes(`mapped://${router.address}:8088`))
  }
  while (!(await isListed()));
  await machine.p2prc('stop')
  assert.doesNotMatch(await rules(), /8088/)
})

const taskScript = ['--import', 'tsx', join(import.meta.dirname, '../support/routerTask.ts')]
const routerTask = async (machine: Machine, task: object): Promise<{ by: string | null; rssMiB: number }> =>
  JSON.parse(
    await machine.run(process.execPath, ...taskScript, JSON.stringify({ port: 9_000, externalPort: 9_001, ...task })),
  )

test('each protocol maps and removes for itself, and a port that another machine has is refused', {
  skip: !hasMiniupnpd && 'miniupnpd is not installed',
}, async (t) => {
  const { routers } = await lab(t, 0, [{ kind: 'portRestricted', upnp: true, machines: 2 }])
  const [router] = routers as [Router]
  const [machine, other] = router.machines as [Machine, Machine]
  const rules = () => router.run('nft', 'list', 'table', 'inet', 'upnp')
  for (const by of ['UPnP', 'NAT-PMP']) {
    assert.equal((await routerTask(machine, { task: 'map', by })).by, by)
    assert.match(await rules(), /dport 9001 dnat ip to 192.168.1.2:9000/, by)
    if (by === 'UPnP') assert.equal((await routerTask(other, { task: 'map', by })).by, null)
    await routerTask(machine, { task: 'unmap', by })
    assert.doesNotMatch(await rules(), /9001/, by)
  }
})

test('a router that answers nonsense ends nobody, leads nowhere, and is not believed', async (t) => {
  const modes = ['elsewhere', 'endless', 'nonsense']
  const { publicMachines, routers } = await lab(
    t,
    1,
    modes.map(() => ({ kind: 'portRestricted' })),
  )
  const [victim] = publicMachines as [Machine]
  let called = false
  const serve =
    "require('node:net').createServer(() => console.log('called')).listen(8088, () => console.log('listens'))"
  await victim.start(process.execPath, ['-e', serve], /listens/, (chunk) => {
    called ||= chunk.includes('called')
  })
  const liar = ['--import', 'tsx', join(import.meta.dirname, '../support/lyingRouter.ts')]
  for (const [index, mode] of modes.entries()) {
    const router = routers[index] as Router
    await router.start(process.execPath, [...liar, mode, victim.address], /the router lies/)
    for (const by of ['UPnP', 'NAT-PMP']) {
      const answer = await routerTask(router.machines[0] as Machine, { task: 'map', by })
      assert.equal(answer.by, null, `${mode}, ${by}`)
      assert.ok(answer.rssMiB < 300, `${mode}: ${answer.rssMiB} MiB`)
    }
  }
  assert.equal(called, false)
})
