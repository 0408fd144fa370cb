import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formatAddress, isLoopback, parseAddress } from '../../../protocol/net/address.ts'

const good: [string, string, number][] = [
  ['alice', 'alice', 8088],
  ['Alice.Example', 'alice.example', 8088],
  ['alice:9', 'alice', 9],
  ['10.0.0.1', '10.0.0.1', 8088],
  ['255.255.255.255:65535', '255.255.255.255', 65_535],
  ['::1', '::1', 8088],
  ['2001:DB8::7', '2001:db8::7', 8088],
  ['[::1]', '::1', 8088],
  ['[::1]:1', '::1', 1],
  ['::ffff:10.0.0.1', '::ffff:10.0.0.1', 8088],
  ['[fe80::1%eth0]:8088', 'fe80::1%eth0', 8088],
  ['fe80::1%eth0', 'fe80::1%eth0', 8088],
]

for (const [where, host, port] of good) {
  test(`${where} is ${host} and ${port}, and is the same after formatting and parsing`, () => {
    assert.deepEqual(parseAddress(where), { host, port })
    assert.deepEqual(parseAddress(formatAddress({ host, port })), { host, port })
  })
}

const bad = [
  '',
  ' ',
  'a b',
  ':1',
  'alice:',
  'alice:0',
  'alice:65536',
  'alice:1e3',
  'alice:+5',
  'alice:-1',
  'alice:99999999999',
  '256.1.1.1',
  '1.2.3',
  '127.1',
  '0x7f.0.0.1',
  '0x7f000001',
  '2130706433',
  '10.0.0.1.',
  '[::1',
  '[::1]x',
  '[::1]:',
  '[10.0.0.1]:1',
  ':::1',
  '1::2::3',
  'fe80::1%',
  'fe80::1%a%b',
  'fe80::1%$(x)',
  '-x',
  'a..b',
  'http://alice',
  'alice/x',
  'alice@bob',
  '"; touch X; "',
  'al\nice',
  'al\u001b[31mice',
  'ä.example',
  'a'.repeat(64),
  `${'a.'.repeat(127)}aa`,
]

for (const where of bad) {
  test(`${JSON.stringify(where.slice(0, 40))} is refused`, () => {
    assert.throws(
      () => parseAddress(where),
      (error: { code?: string; message: string }) => {
        assert.equal(error.code, 'bad_address')
        assert.match(error.message, /^[\x20-\x7e]{1,300}$/, 'no control character reaches a terminal')
        return true
      },
    )
  })
}

test('isLoopback recognizes every form that a socket reports', () => {
  assert.deepEqual(['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1'].map(isLoopback), [true, true, true, true])
  assert.deepEqual(['128.0.0.1', '10.127.0.1', '::2', 'localhost'].map(isLoopback), [false, false, false, false])
})
