import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, createServer } from 'node:net'
import { type TestContext, test } from 'node:test'
import { createDialer } from '../../actors/net/dialer.ts'
import { request } from '../../actors/request.ts'
import { createSpeedTester } from '../../actors/speedTester.ts'
import { supervise } from '../../actors/supervise.ts'
import { createBus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'
import { httpHarness, newIdentity } from '../support/httpHarness.ts'

/** Opens a port that passes its connections on to these ports in turn, as a name with two addresses may. */
async function inTurn(t: TestContext, ports: readonly number[]): Promise<number> {
  let accepted = 0
  const server = createServer((socket) => {
    const onward = connect(ports[accepted++ % ports.length] as number, '127.0.0.1')
    for (const [from, to] of [
      [socket, onward],
      [onward, socket],
    ] as const) {
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
      from.pipe(to)
    }
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('where two nodes answer in turn, the one that was pinged is measured and no other', async (t) => {
  const nodes = [await httpHarness(), await httpHarness()] as const
  t.after(() => Promise.all(nodes.map((node) => node.close())))
  const [one] = nodes
  const borrower = await newIdentity(one.dir, 'borrower')
  for (const { rights, bus } of nodes) {
    rights.current = { trusted: new Set([borrower.id]), open: false, relay: 'off' }
    bus.publish({ type: 'specs.changed', specs: receivedSpecs.parse({ Hostname: 'lender' }) })
  }
  const measure = async (ports: readonly number[]) => {
    const bus = createBus<BusEvent>()
    const port = await inTurn(t, ports)
    const resolve = async () => ({ endpoints: [directEndpoint({ host: '127.0.0.1', port })] })
    const concern = supervise(createSpeedTester({ resolve, dialer: createDialer({ identity: borrower }) }), { bus })
    concern.start()
    t.after(() => concern.stop())
    return request(bus, { type: 'speed.measure', requestId: 'r', caller: 'owner', where: 'x', direction: 'download' })
  }
  const ports = nodes.map(({ listener }) => listener.port)
  await assert.rejects(measure(ports), { code: 'wrong_node' })
  const measured = await measure(ports.slice(0, 1))
  assert.equal(measured.type === 'speed.measured' && measured.id, one.identity.id)
})
