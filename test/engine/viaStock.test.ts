import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort } from '../../bench/children.ts'
import { assertDatagramEchoed, assertEchoed, startEcho } from '../support/echoService.ts'
import { type FrpMode, frpVersion, startFrps, stopFrp } from '../support/frpPrograms.ts'
import { nextEvent } from '../support/harness.ts'
import { nodeHere, request } from '../support/inProcess.ts'

const TOKEN = 'a token of the test'
const version = frpVersion('frps')
const stock = version ? ` ${version}` : ''
const skip = version === undefined && 'there is no frps on the PATH'

async function start(t: TestContext, { mux, token }: { mux: boolean; token: string }) {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-frp-'))
  const echo = await startEcho()
  const mode: FrpMode = { mux, tls: 'none', encrypted: false }
  const port = await freePort()
  const options = { ...mode, folder, version: version as string, token, port }
  const running: ChildProcess[] = [await startFrps(options)]
  t.after(async () => {
    for (const child of running) await stopFrp(child)
    echo.close()
    rmSync(folder, { recursive: true })
  })
  return {
    echo,
    port,
    stopFrps: () => stopFrp(running[0] as ChildProcess),
    startAgain: async () => running.unshift(await startFrps(options)),
  }
}

for (const mux of [true, false])
  test(`a port is shown through stock frps${stock}, ${mux ? 'multiplexed' : 'not multiplexed'}, over TCP and UDP`, {
    skip,
  }, async (t) => {
    const { echo, port } = await start(t, { mux, token: TOKEN })
    const via = `127.0.0.1:${port}`
    const nodes = [await nodeHere(t, undefined, { viaToken: TOKEN }), await nodeHere(t, undefined, { viaToken: TOKEN })]
    for (const node of nodes) {
      // Both map the same port: frps has one name space for all of its clients.
      const { mapping } = await request(node, { type: 'port.map', port: echo.tcp, protocol: 'tcp', via })
      assert.deepEqual([mapping.relay, mapping.via, mapping.state], [via, via, 'open'])
      await assertEchoed(mapping.address.port, 1_000_000)
    }
    const [node] = nodes as [(typeof nodes)[number]]
    const { mapping } = await request(node, { type: 'port.map', port: echo.udp, protocol: 'udp', via })
    await assertDatagramEchoed(mapping.address.port, 1_000)
    const unmapped = await request(node, { type: 'port.unmap', which: `${echo.udp}/udp` })
    assert.equal(unmapped.mapping.port, echo.udp)
    assert.equal((await request(node, { type: 'port.list' })).mappings.length, 1)
  })

test(`stock frps${stock}: a wrong token is refused with its reason, and a mapping is there again after a restart of the relay`, {
  skip,
}, async (t) => {
  const frps = await start(t, { mux: true, token: TOKEN })
  const command = { type: 'port.map', port: frps.echo.tcp, protocol: 'tcp', via: `127.0.0.1:${frps.port}` }
  const wrong = await nodeHere(t, undefined, { viaToken: 'wrong' })
  const refused = { code: 'no_relay', message: /token in login doesn't match/ }
  await assert.rejects(request(wrong, command), refused)
  await assert.rejects(request(wrong, command), refused, 'it is asked again, not waited for')
  assert.deepEqual((await request(wrong, { type: 'port.list' })).mappings, [])

  const node = await nodeHere(t, undefined, { viaToken: TOKEN })
  const before = (await request(node, command)).mapping.address
  const [lost, restored] = [nextEvent(node.bus, 'port.lost'), nextEvent(node.bus, 'port.restored')]
  await frps.stopFrps()
  await lost
  await frps.startAgain()
  const { mapping } = await restored
  assert.deepEqual(mapping.address, before, 'the port is the same')
  await assertEchoed(mapping.address?.port ?? 0, 1_000)
})

test(`a relay of Go P2PRC, which starts frps${stock} after it has named its port`, { skip }, async (t) => {
  const echo = await startEcho()
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-frp-'))
  const running: ChildProcess[] = []
  const server = createServer(async ({ url }, response) => {
    if (url !== '/FRPPort') return void response.end('{"Hostname":"go"}')
    const port = await freePort()
    response.end(String(port), async () => {
      const options = { mux: true, tls: 'none', encrypted: false, folder, version: version as string, token: '', port }
      running.push(await startFrps(options as Parameters<typeof startFrps>[0]))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    for (const child of running) await stopFrp(child)
    server.close()
    echo.close()
    rmSync(folder, { recursive: true })
  })
  // A Go relay has no token, so that it is told none.
  const node = await nodeHere(t, undefined, { viaToken: TOKEN })
  const via = `127.0.0.1:${(server.address() as { port: number }).port}`
  const { mapping } = await request(node, { type: 'port.map', port: echo.tcp, protocol: 'tcp', via })
  await assertEchoed(mapping.address.port, 1_000_000)
  assert.equal(running.length, 1)
})
