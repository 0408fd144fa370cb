import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort } from '../../bench/children.ts'
import { assertDatagramEchoed, assertEchoed, startEcho } from '../support/echoService.ts'
import { type FrpMode, frpVersion, startFrpc, stopFrp } from '../support/frpPrograms.ts'
import { nodeHere, request } from '../support/inProcess.ts'
import { until } from '../support/lender.ts'

const TOKEN = 'a token of the test'
const modes: FrpMode[] = [
  { mux: true, tls: 'none', encrypted: false },
  { mux: false, tls: '0x16', encrypted: true },
  { mux: true, tls: '0x17', encrypted: false },
]
const version = frpVersion('frpc')
const skip = version === undefined && 'there is no frpc on the PATH'

test(`stock frpc${version ? ` ${version}` : ''} lends through the one port of a node, and its ports end with it`, {
  skip,
}, async (t) => {
  const node = await nodeHere(t, undefined, { relayChoices: { token: TOKEN } })
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-frp-'))
  const echo = await startEcho()
  t.after(() => {
    echo.close()
    rmSync(folder, { recursive: true })
  })
  const list = async () => (await request(node, { type: 'relay.list' })).ports
  for (const mode of modes) {
    const [remoteTcp, remoteUdp] = [await freePort(), await freePort()]
    const frpc = startFrpc({
      ...{ ...mode, folder, version: version as string, token: TOKEN, port: node.port },
      ...{ localTcp: echo.tcp, localUdp: echo.udp, remoteTcp, remoteUdp },
    })
    try {
      await until(async () => (await list()).length === 2, 20_000)
      await assertEchoed(remoteTcp, 1_000_000)
      await assertDatagramEchoed(remoteUdp, 1_000)
      const sum = (await list()).reduce((total: number, { bytes }: { bytes: number }) => total + bytes, 0)
      assert.ok(sum >= 2_000_000, `${sum} bytes`)
    } finally {
      await stopFrp(frpc)
    }
    await until(async () => (await list()).length === 0, 5_000)
  }
})
