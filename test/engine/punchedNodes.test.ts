import assert from 'node:assert/strict'
import { resolve } from 'node:path'
import { test } from 'node:test'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab, type RouterKind } from '../support/natLab.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

/** Starts nodes behind two routers and has one send a command to the other. Returns over which kind of endpoint it went. */
async function rungBetween(lending: RouterKind, borrowing: RouterKind, ready: RegExp): Promise<string | undefined> {
  const lab = await makeNatLab({ publicMachines: 2, routers: [{ kind: lending }, { kind: borrowing }] })
  try {
    // Peers dial back: one of them must be another one than the relay.
    const [relay, other] = lab.publicMachines as [Machine, Machine]
    const [lender, borrower] = lab.routers.map(({ machines }) => machines[0]) as [Machine, Machine]
    const where = `${relay.address}:8088`
    await relay.startNode()
    await other.startNode('--relay', 'off', where)
    const start = (machine: Machine, text: RegExp) =>
      machine.start(
        process.execPath,
        [cli, 'start', '--json', '--host', machine.address, '--port', '8088', where],
        text,
      )
    await Promise.all([start(lender, ready), start(borrower, /"port\.nodeRelayed","endpoints":\[\{/)])
    const [{ id }, { key }] = [await lender.p2prc<{ id: string }>('id'), await borrower.p2prc<{ key: string }>('id')]
    await lender.p2prc('trust', 'add', key)
    let endpoint: Endpoint | undefined
    for (let tries = 0; tries < 3 && endpoint?.kind !== 'punched'; tries++) {
      await borrower.p2prc('update', '--hops', '1')
      await borrower.p2prc('map', 'ls', '--on', id).catch(() => {})
      const shown = await borrower.p2prc<{ path?: { endpoint: Endpoint } }>('path', id)
      endpoint = shown.path?.endpoint ?? endpoint
      if (lending === 'udpBlocked' && endpoint) break
    }
    return endpoint?.kind
  } finally {
    await lab.close()
  }
}

test('nodes behind two port-restricted routers reach each other by the punched path', async () => {
  assert.equal(
    await rungBetween('portRestricted', 'portRestricted', /"port\.nodeRelayed","endpoints":\[\{"kind":"punched"/),
    'punched',
  )
})

test('a node whose UDP is blocked is reached over the relay', {
  skip: !process.env.P2PRC_SOAK && 'it takes half a minute: npm run soak -- nat',
}, async () => {
  assert.equal(
    await rungBetween('udpBlocked', 'portRestricted', /"port\.nodeRelayed","endpoints":\[\{"kind":"relayed"/),
    'relayed',
  )
})
