import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setImmediate } from 'node:timers/promises'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab, type NatLab, type Router, type RouterOptions } from '../support/natLab.ts'
import { type Measured, PROBE_PORTS } from '../support/natProbe.ts'

const probe = (...args: string[]) => ['--import', 'tsx', join(import.meta.dirname, '../support/natProbe.ts'), ...args]

/** A program that connects to an address and prints what came of it. */
const CONNECT = `
const socket = require('node:net').connect(process.argv[2], process.argv[1])
socket.on('connect', () => { console.log('connected'); socket.destroy() })
socket.setTimeout(10_000, () => { console.log('no answer'); socket.destroy() })
socket.on('error', ({ code }) => console.log(code))
`

async function lab(t: TestContext, publicMachines: number, routers: readonly RouterOptions[]): Promise<NatLab> {
  const made = await makeNatLab({ publicMachines, routers })
  t.after(() => made.close())
  return made
}

async function measure(machine: Machine, { publicMachines }: NatLab): Promise<Measured> {
  const addresses = publicMachines.map(({ address }) => address)
  return JSON.parse(await machine.run(process.execPath, ...probe('measure', ...addresses)))
}

/** What a machine is told when it connects: `connected`, or the error's code. */
async function dial(from: Machine, host: string, port: number): Promise<string> {
  return (await from.run(process.execPath, '-e', CONNECT, host, String(port))).trim()
}

/** How many packets a router has dropped that nobody behind it asked for. */
async function droppedBy(router: Router): Promise<number> {
  const rules = await router.run('iptables', '-nvxL', 'INPUT')
  return Number(/^\s*(\d+).*DROP/m.exec(rules.split('\n').slice(2).join('\n'))?.[1])
}

/** Resolves with `dropped` as soon as the router drops a packet. */
async function dropped(router: Router): Promise<'dropped'> {
  const before = await droppedBy(router)
  while ((await droppedBy(router)) === before) await setImmediate()
  return 'dropped'
}

test('each kind of router maps and filters as RFC 4787 says of it, measured from a public side of two addresses', async (t) => {
  const kinds = ['fullCone', 'portRestricted', 'symmetric', 'udpBlocked'] as const
  const made = await lab(
    t,
    2,
    kinds.map((kind) => ({ kind })),
  )
  await Promise.all(
    made.publicMachines.map((machine) => machine.start(process.execPath, probe('serve'), /probe serves/)),
  )
  const kept = { mapping: 'independent', keepsPort: true } as const
  const random = { mapping: 'addressAndPort', keepsPort: false } as const
  const expected: Record<(typeof kinds)[number], Measured> = {
    fullCone: { udp: { ...kept, filtering: 'independent' }, tcp: kept },
    portRestricted: { udp: { ...kept, filtering: 'addressAndPort' }, tcp: kept },
    symmetric: { udp: { ...random, filtering: 'addressAndPort' }, tcp: random },
    udpBlocked: { udp: { mapping: 'none', filtering: 'none', keepsPort: false }, tcp: kept },
  }
  const [caller] = made.publicMachines as [Machine]
  for (const router of made.routers)
    await t.test(router.kind, async () => {
      const [machine] = router.machines as [Machine]
      assert.deepEqual(await measure(machine, made), expected[router.kind])
      // Nobody outside opens a TCP connection, and the packet is dropped without an answer.
      const watched = dropped(router)
      assert.equal(await Promise.race([dial(caller, router.address, PROBE_PORTS[0]), watched]), 'dropped')
    })
})

test('machines behind one router reach each other, the public side sees one address, and every LAN has the same ones', async (t) => {
  const made = await lab(t, 1, [{ kind: 'portRestricted', machines: 2 }, { kind: 'portRestricted' }])
  const [router, other] = made.routers as [Router, Router]
  const [first, second] = router.machines as [Machine, Machine]
  const [host] = made.publicMachines as [Machine]
  const serve = (machine: Machine) => machine.start(process.execPath, probe('serve'), /probe serves/)
  await Promise.all([serve(second), serve(host)])
  assert.equal(await dial(first, second.address, PROBE_PORTS[0]), 'connected')
  assert.equal(first.address, other.machines[0]?.address)
  assert.equal(await dial(host, second.address, PROBE_PORTS[0]), 'ENETUNREACH')
  assert.equal(await dial(other.machines[0] as Machine, host.address, PROBE_PORTS[0]), 'connected')
  // A changed address takes effect at once, and a line can be cut.
  router.changeAddress('20.150.0.1')
  assert.equal(await dial(first, host.address, PROBE_PORTS[0]), 'connected')
  router.connect(false)
  assert.equal(await dial(first, host.address, PROBE_PORTS[0]), 'ENETUNREACH')
  router.connect(true)
  assert.equal(await dial(first, host.address, PROBE_PORTS[0]), 'connected')
})

/** Asks the router for a mapping of a TCP port by NAT-PMP (RFC 6886, section 3.3), and prints the result code and the port. */
const NAT_PMP = `
const socket = require('node:dgram').createSocket('udp4')
socket.on('message', (answer) => {
  console.log(answer.readUInt16BE(2), answer.readUInt16BE(10))
  socket.close()
})
const request = Buffer.alloc(12)
request[1] = 2
request.writeUInt16BE(Number(process.argv[1]), 4)
request.writeUInt16BE(Number(process.argv[1]), 6)
request.writeUInt32BE(600, 8)
socket.send(request, 5351, '192.168.1.1')
`

test('a router with UPnP maps a port when its machine asks for it, and the public side then reaches the machine', async (t) => {
  const made = await lab(t, 1, [{ kind: 'portRestricted', upnp: true }])
  const [router] = made.routers as [Router]
  const [machine] = router.machines as [Machine]
  const [caller] = made.publicMachines as [Machine]
  await machine.start(process.execPath, probe('serve'), /probe serves/)
  const port = PROBE_PORTS[0]
  const watched = dropped(router)
  assert.equal(await Promise.race([dial(caller, router.address, port), watched]), 'dropped')
  assert.equal(await machine.run(process.execPath, '-e', NAT_PMP, String(port)), `0 ${port}\n`)
  assert.equal(await dial(caller, router.address, port), 'connected')
})

test('nothing is left of a laboratory: neither when it cannot be built, nor when the test process ends in its middle', async () => {
  const remaining = () => execFileSync('ip', ['netns'], { encoding: 'utf8' })
  const module = join(import.meta.dirname, '../support/natLab.ts')
  const script = `
    const { makeNatLab } = await import(${JSON.stringify(module)})
    const { namespaces, routers } = await makeNatLab({ publicMachines: 1, routers: [{ kind: 'symmetric' }] })
    await routers[0].machines[0].start('sh', ['-c', 'echo up; sleep 1000'], /up/)
    console.log(namespaces.join(' '))
    throw new Error('the test fails')`
  const { stdout, status } = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  })
  assert.equal(status, 1)
  const names = stdout.trim().split(' ')
  assert.equal(names.length, 5, stdout)
  for (const name of names) assert.doesNotMatch(remaining(), new RegExp(name))
  const impossible = makeNatLab({ publicMachines: 0, routers: [{ kind: 'fullCone', machines: 2 }] })
  await assert.rejects(impossible, /has one machine/)
})
