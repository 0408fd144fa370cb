import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { MASK, revealed, Secret } from '../../protocol/secret.ts'

test('a secret is shown as a mask wherever it is written', () => {
  const secret = new Secret('hunter2')
  const holder = { type: 'x', list: [{ password: secret }] }
  for (const shown of [JSON.stringify(holder), inspect(holder, { depth: 9 }), `${secret}`, String([secret])]) {
    assert.ok(shown.includes(MASK), shown)
    assert.ok(!shown.includes('hunter2'), shown)
  }
})

test('revealed returns a copy with every secret, and leaves the original unchanged', () => {
  const secret = new Secret('hunter2')
  const holder = { list: [{ password: secret, port: 22, none: null, empty: '' }] }
  assert.deepEqual(revealed(holder), { list: [{ password: 'hunter2', port: 22, none: null, empty: '' }] })
  assert.equal(holder.list[0]?.password, secret)
})
