import assert from 'node:assert/strict'
import { test } from 'node:test'
import { canonicalHost } from '../../../protocol/net/address.ts'
import { refusal } from '../../../protocol/net/reachable.ts'

const forbidden = [
  // Loopback and unspecified addresses, in every form.
  '127.0.0.1',
  '127.1.2.3',
  '127.255.255.255',
  '::1',
  '0:0:0:0:0:0:0:1',
  '[::1]',
  '::ffff:127.0.0.1',
  '::FFFF:7F00:1',
  '::127.0.0.1',
  '0.0.0.0',
  '0.1.2.3',
  '::',
  '::ffff:0.0.0.0',
  // Forms that old resolvers read as 127.0.0.1.
  '127.1',
  '0x7f.1',
  '2130706433',
  '017700000001',
  '0177.0.0.1',
  '127.0.0.1.',
  '①②⑦.0.0.1',
  // Link-local addresses and the metadata services of clouds.
  '169.254.1.1',
  '169.254.169.254',
  '::ffff:169.254.169.254',
  '::ffff:a9fe:a9fe',
  'fe80::1',
  'fe80::1%eth0',
  'FE80::1',
  'febf::1',
  'fec0::1',
  'fd00:ec2::254',
  'fd00:0ec2:0:0::254',
  '100.100.100.200',
  '168.63.129.16',
  '192.0.0.192',
  // Multicast, broadcast and reserved addresses.
  '224.0.0.1',
  '239.255.255.250',
  'ff02::1',
  'ff0e::1',
  '255.255.255.255',
  '240.0.0.1',
  '::ffff:224.0.0.1',
  // IPv4 in IPv6: translated, tunnelled and compatible addresses.
  '64:ff9b::7f00:1',
  '64:ff9b::169.254.169.254',
  '64:ff9b::10.0.0.1',
  '64:ff9b:1::7f00:1',
  '2002:7f00:1::',
  '2002:a9fe:a9fe::1',
  '2001:0:7f00:1::',
  '::10.0.0.1',
  '::ffff:0:127.0.0.1',
  '192.88.99.1',
  '100::1',
  // These are not IP addresses.
  '',
  'localhost',
  'example',
  '10.0.0.1:80',
  '1.2.3',
  '256.1.1.1',
  '../etc',
  '10.0.0.1 ',
]

for (const host of forbidden) {
  test(`an anonymous caller's ${JSON.stringify(host)} is never dialled`, () =>
    assert.notEqual(refusal(host, 8_088), undefined))
}

test('ordinary addresses are dialled, including those of a LAN', () => {
  for (const host of [
    '10.0.0.1',
    '192.168.1.5',
    '172.16.0.1',
    '100.64.0.1',
    '8.8.8.8',
    '2606:4700::1',
    'fd12:3456::1',
    '::ffff:10.0.0.1',
  ]) {
    assert.equal(refusal(host, 8_088), undefined, host)
  }
})

test('ports of other services are not dialled', () => {
  for (const port of [22, 25, 53, 445, 2_375, 2_376, 6_379, 11_211])
    assert.notEqual(refusal('10.0.0.1', port), undefined)
  for (const port of [80, 443, 1_024, 8_078, 8_088, 65_535]) assert.equal(refusal('10.0.0.1', port), undefined)
})

test('Test permits loopback and nothing more', () => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', '::ffff:127.0.0.1']) {
    assert.equal(refusal(host, 8_088, { test: true }), undefined, host)
  }
  const still = ['0.0.0.0', '::', '169.254.169.254', 'fe80::1', '224.0.0.1', '64:ff9b::7f00:1', '::127.0.0.1']
  for (const host of still) assert.notEqual(refusal(host, 8_088, { test: true }), undefined, host)
})

test('an address has one canonical form', () => {
  const same: [string, string][] = [
    ['2001:DB8:0:0::0001', '2001:db8::1'],
    ['[::1]', '::1'],
    ['::ffff:10.1.2.3', '10.1.2.3'],
    ['::FFFF:0A01:0203', '10.1.2.3'],
    ['Pc.Lan', 'pc.lan'],
    ['FE80::1%eth0', 'fe80::1%eth0'],
  ]
  for (const [from, to] of same) assert.equal(canonicalHost(from), to)
})
