import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isEngineBridge } from '../../actors/ipTable/engineBridge.ts'

test('bridges of engines, by name or because all their ports lead to containers; a bridge with a LAN is none', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-net-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const bridge = (name: string, ...ports: string[]) => {
    mkdirSync(join(folder, name, 'brif'), { recursive: true })
    for (const port of ports) writeFileSync(join(folder, name, 'brif', port), '')
  }
  bridge('empty0')
  bridge('mine0', 'veth1a2b', 'vnet3')
  bridge('br0', 'eth0', 'vnet3')
  mkdirSync(join(folder, 'eth0'))
  for (const name of ['docker0', 'docker_gwbridge', 'br-0123456789ab', 'veth1a2b', 'p2prc-net', 'empty0', 'mine0'])
    assert.equal(isEngineBridge(name, folder), true, name)
  for (const name of ['br0', 'eth0', 'wlan0', 'lo', 'wg0', 'nothing'])
    assert.equal(isEngineBridge(name, folder), false, name)
})
