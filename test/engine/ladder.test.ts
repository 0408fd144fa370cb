import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { Finding } from '../../protocol/doctor.ts'
import type { BetterRung } from '../../protocol/ipTable.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab, type NatLab, type Router, type RouterOptions } from '../support/natLab.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

async function lab(t: TestContext, publicMachines: number, routers: readonly RouterOptions[]): Promise<NatLab> {
  const made = await makeNatLab({ publicMachines, routers })
  t.after(() => made.close())
  return made
}

/** Starts a node that knows the others, and resolves when it has published something that matches. */
async function startUntil(machine: Machine, ready: RegExp, ...args: string[]): Promise<void> {
  await machine.start(
    process.execPath,
    [cli, 'start', '--json', '--host', machine.address, '--port', '8088', ...args],
    ready,
  )
}

/** What `p2prc doctor` finds, whose exit code is 1 where something is broken. */
async function examined(machine: Machine, ...args: string[]) {
  const output = await machine.run(process.execPath, cli, 'doctor', ...args, '--json').catch((error) => {
    assert.equal(error.code, 1, error.stderr)
    return error.stdout as string
  })
  const { findings }: { findings: Finding[] } = JSON.parse(output.trimEnd().split('\n').at(-1) as string)
  return (check: string) => findings.find((one) => one.check === check) as Finding
}

const whereOf = ({ address }: Machine) => `${address}:8088`

test('a firewall that drops: doctor says which port to open, also what a peer finds that dials back', async (t) => {
  const { publicMachines } = await lab(t, 2, [])
  const [open, closed] = publicMachines as [Machine, Machine]
  await open.startNode('--relay', 'off')
  await closed.run('iptables', '-A', 'INPUT', '-i', 'wan', '-p', 'tcp', '--dport', '8088', '--syn', '-j', 'DROP')
  await startUntil(closed, /"reach\.changed","state":"unreachable"/, whereOf(open))
  const of = await examined(closed, whereOf(open))
  assert.deepEqual(
    [of('firewall').state, of('firewall').remedy],
    ['broken', 'Open TCP port 8088 in the firewall of this machine.'],
  )
  assert.equal(of('port').state, 'ok')
  assert.notEqual(of('relay').state, 'ok')
  assert.equal(of(`to ${whereOf(open)}, direct IPv4`).state, 'ok')
  const from = of(`from ${whereOf(open)}`)
  assert.deepEqual([from.state, from.remedy], ['broken', 'Open TCP port 8088 in the firewall of this machine.'])
})

interface Shown {
  path?: { rung: string; endpoint: Endpoint }
  better: BetterRung[]
}

test('behind a router: doctor proves the relay, and others say that they use it and why nothing better', async (t) => {
  const { publicMachines, routers } = await lab(t, 2, [{ kind: 'portRestricted' }])
  const [relay, other] = publicMachines as [Machine, Machine]
  const [behind] = (routers[0] as Router).machines as [Machine]
  await relay.startNode()
  await other.startNode('--relay', 'off', whereOf(relay))
  await startUntil(behind, /"port\.nodeRelayed","endpoints":\[\{/, whereOf(relay))
  const of = await examined(behind, whereOf(other))
  assert.deepEqual(
    ['port', 'clock', 'firewall', 'router', 'relay'].map((check) => of(check).state),
    ['ok', 'ok', 'unneeded', 'unneeded', 'ok'],
  )
  assert.match(of('relay').what, new RegExp(`^A relay passes connections on from .*${relay.address}:\\d+$`))
  assert.match(of('punching').what, /a router translates the address of this machine to 20\.101\.0\.1$/)
  assert.deepEqual(
    [of(`to ${whereOf(other)}, direct IPv4`).state, of(`from ${whereOf(other)}`).state],
    ['ok', 'unneeded'],
  )

  const { id } = await behind.p2prc<{ id: string }>('id')
  let shown: Shown
  do {
    await other.p2prc('update', '--hops', '1')
    shown = await other.p2prc<Shown>('path', id)
  } while (shown.path?.rung !== 'relayed' || shown.better.at(-1)?.state === 'notOffered')
  assert.equal(shown.path.endpoint.host, relay.address)
  const stateOf = Object.fromEntries(shown.better.map(({ rung, state }) => [rung, state]))
  assert.deepEqual(stateOf, {
    'direct IPv6': 'notOffered',
    'direct IPv4': 'failed',
    mapped: 'notOffered',
    punched: 'untried',
  })
})

test('BehindNAT of config.json is superseded by the proof that others reach the node', async (t) => {
  const { publicMachines } = await lab(t, 2, [])
  const [relay, named] = publicMachines as [Machine, Machine]
  await relay.startNode()
  await named.p2prc('init')
  const config = await named.p2prc<object>('config')
  writeFileSync(join(named.home, 'config.json'), JSON.stringify({ ...config, BehindNAT: true }))
  await startUntil(named, /"reach\.changed","state":"reachable"/, whereOf(relay))
  const of = await examined(named)
  assert.deepEqual([of('firewall').state, of('relay').what], ['ok', 'Peers reach this node without a relay'])
  const { ports } = await relay.p2prc<{ ports: unknown[] }>('relay', 'ls')
  assert.deepEqual(ports, [])
})
