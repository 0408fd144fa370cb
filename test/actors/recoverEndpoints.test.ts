import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { recoverEndpoints } from '../../actors/ipTable/recoverEndpoints.ts'

const entry = (host: string) => `{"IPV4":"${host}","ServerPort":"8088"}`

test('what is whole in a damaged table is recovered, unless the file is larger than any table', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-recover-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'ip_table.json')
  const recovered = async (text: string) => {
    writeFileSync(path, text)
    return (await recoverEndpoints(path)).map(({ host }) => host)
  }
  const torn = `{"ip_address":[${entry('10.0.0.1')},${entry('10.0.0.2').slice(0, -1)}`
  assert.deepEqual(await recovered(torn), ['10.0.0.1', '10.0.0.2'])
  assert.deepEqual(await recovered('\u0000'.repeat(4_096)), [])
  assert.deepEqual(await recovered(torn + ' '.repeat(3 * 1024 * 1024)), [])
  rmSync(path)
  assert.deepEqual(await recoverEndpoints(path), [])
})
