import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab } from '../support/natLab.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

interface Table {
  ip_address: { NodeId?: string; Addresses?: string[] }[]
}

interface Taken {
  ID: string
  Ports: { Port: { ExternalPort: number; Endpoint: string }[] }
}

test('a lender behind a symmetric router lends to a borrower behind another one, through a relay', async (t) => {
  const { publicMachines, routers, close } = await makeNatLab({
    publicMachines: 1,
    routers: [{ kind: 'symmetric', lends: true }, { kind: 'symmetric' }],
  })
  let giveBack = async () => {}
  t.after(async () => {
    await giveBack()
    await close()
  })
  const [relay] = publicMachines as [Machine]
  const [lender, borrower] = routers.map(({ machines: [machine] }) => machine) as [Machine, Machine]
  const known = formatEndpoint(directEndpoint({ host: relay.address, port: 8_088 }))
  await relay.startNode('--relay', 'peers')
  await Promise.all([lender.startNode(known), borrower.startNode(known)])
  const [{ key }, { id: lenderId }] = await Promise.all([
    borrower.p2prc<{ key: string }>('id'),
    lender.p2prc<{ id: string }>('id'),
  ])
  await lender.p2prc('trust', 'add', key)
  const relayedOf = async () => {
    const { ip_address: rows } = await borrower.p2prc<Table>('ls')
    return rows
      .find(({ NodeId }) => NodeId === lenderId)
      ?.Addresses?.find((one) => one.startsWith(`relayed://${relay.address}:`))
  }
  while (!(await relayedOf()));
  const loan = await borrower.p2prc<Taken>('touch', lenderId, '--ports', '1')
  giveBack = async () => void (await borrower.p2prc('rm', loan.ID, '--yes').catch(() => {}))
  const published = loan.Ports.Port
  assert.equal(published.length, 2)
  for (const { Endpoint } of published) assert.match(Endpoint, new RegExp(`^relayed://${relay.address}:\\d+$`))
  assert.equal(await borrower.run(process.execPath, cli, 'ssh', loan.ID, '--', 'echo', 'inside'), 'inside\n')
  await borrower.p2prc('rm', loan.ID, '--yes')
  assert.deepEqual(await lender.p2prc<unknown[]>('lent'), [])
})
