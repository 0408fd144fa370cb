import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPrivate, rangeOf } from '../../../protocol/net/ranges.ts'
import { refusal } from '../../../protocol/net/reachable.ts'
import { subnetOf } from '../../../protocol/net/subnet.ts'

/** The edges of IANA's special-purpose ranges: the range, whether it is private, and whether anybody may name it. */
const rows: [host: string, range: string, isPrivate: boolean, mayBeDialled: boolean, subnet: string][] = [
  ['9.255.255.255', 'unicast', false, true, '9.255.255'],
  ['10.0.0.0', 'private', true, true, '10.0.0.0'],
  ['10.255.255.255', 'private', true, true, '10.255.255.255'],
  ['11.0.0.0', 'unicast', false, true, '11.0.0'],
  ['172.15.255.255', 'unicast', false, true, '172.15.255'],
  ['172.16.0.0', 'private', true, true, '172.16.0.0'],
  ['172.31.255.255', 'private', true, true, '172.31.255.255'],
  ['172.32.0.0', 'unicast', false, true, '172.32.0'],
  ['192.167.255.255', 'unicast', false, true, '192.167.255'],
  ['192.168.0.0', 'private', true, true, '192.168.0.0'],
  ['192.169.0.0', 'unicast', false, true, '192.169.0'],
  ['100.63.255.255', 'unicast', false, true, '100.63.255'],
  ['100.64.0.0', 'carrierGradeNat', false, true, '100.64.0'],
  ['100.127.255.255', 'carrierGradeNat', false, true, '100.127.255'],
  ['100.128.0.0', 'unicast', false, true, '100.128.0'],
  ['169.254.0.0', 'linkLocal', true, false, '169.254.0.0'],
  ['127.0.0.1', 'loopback', true, false, '127.0.0.1:1024'],
  ['0.0.0.0', 'unspecified', false, false, '0.0.0'],
  ['224.0.0.1', 'multicast', false, false, '224.0.0'],
  ['240.0.0.1', 'reserved', false, false, '240.0.0'],
  ['255.255.255.255', 'broadcast', false, false, '255.255.255'],
  // Documentation ranges are not private, and tests and manuals may use them.
  ['192.0.2.1', 'reserved', false, true, '192.0.2'],
  ['198.51.100.7', 'reserved', false, true, '198.51.100'],
  ['203.0.113.9', 'reserved', false, true, '203.0.113'],
  ['2001:db8::1', 'reserved', false, true, '20010db8000000'],
  ['::ffff:10.0.0.1', 'private', true, true, '10.0.0.1'],
  ['::ffff:20.1.2.3', 'unicast', false, true, '20.1.2'],
  ['::', 'unspecified', false, false, '00000000000000'],
  ['::1', 'loopback', true, false, '[::1]:1024'],
  ['fbff::1', 'unicast', false, true, 'fbff0000000000'],
  ['fc00::1', 'uniqueLocal', true, true, 'fc00::1'],
  ['fdff::1', 'uniqueLocal', true, true, 'fdff::1'],
  ['fe80::1', 'linkLocal', true, false, 'fe80::1'],
  ['febf::1', 'linkLocal', true, false, 'febf::1'],
  ['fe80::1%eth0', 'linkLocal', true, false, 'fe80::1%eth0'],
  ['ff02::1', 'multicast', false, false, 'ff020000000000'],
  ['2002:a00:1::', '6to4', false, false, '20020a00000100'],
  ['2606:4700:0:12ff::1', 'unicast', false, true, '26064700000012'],
]

for (const [host, range, privately, mayBeDialled, subnet] of rows)
  test(`${host} is ${range}`, () => {
    assert.equal(rangeOf(host), range)
    assert.equal(isPrivate(host), privately)
    assert.equal(refusal(host, 1_024) === undefined, mayBeDialled, String(refusal(host, 1_024)))
    const at = host.includes(':') ? `[${host}]:1024` : `${host}:1024`
    assert.equal(subnetOf(at).name, subnet)
  })

test('text that is not an IP address is in no range', () => {
  for (const host of ['', 'friend', '127.1', '0x7f.1', '10.0.0.1:80', '1.2.3.4.5', ':::', 'fe80::1%a%b'])
    assert.deepEqual([rangeOf(host), isPrivate(host)], [undefined, false], host)
})
