import assert from 'node:assert/strict'
import { createPrivateKey } from 'node:crypto'
import { test } from 'node:test'
import { createSign, verifySignature } from '../../../actors/gossip/recordSignature.ts'
import { subnetOf } from '../../../protocol/net/subnet.ts'
import {
  hasValidSignature,
  RECORD_MAX_CHARS,
  readRecord,
  type SignedRecord,
  signRecord,
} from '../../../protocol/wire/record.ts'
import { makeGossipDriver } from '../../support/gossipDriver.ts'

const author = makeGossipDriver()
const unknown = makeGossipDriver()
const signed = author.record({ customInformation: 'grüße, 你好, "quoted"' })

const isValid = ({ text, signature }: Pick<SignedRecord, 'text' | 'signature'>) => {
  const read = readRecord(text, signature)
  return read !== undefined && hasValidSignature(read, verifySignature)
}

test('a signed record can be read back, and its signature is valid', () => {
  assert.deepEqual(readRecord(signed.text, signed.signature), signed)
  assert.ok(isValid(signed))
})

const GOLDEN = {
  text:
    '{"id":"SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8","key":"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"' +
    ',"seq":7,"name":"anna","endpoints":["93.184.1.1:8088"],"port":8088,"version":"0.1.0","customInformation":"","capabilities":[],"left":false}',
  signature: 'FMNne5S1r5Ds6q81yZAi5lBBAklWJ4boPcx77OfpGVnl/UPtg00Zzn7cSAvlWFdF6fVb/mhbA0xRIinJnToNDQ==',
}

test('a golden record: what was once signed stays valid, in this form and under no other signature of the key', () => {
  // The key is that of RFC 8032, 7.1, TEST 1.
  const seed = '9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60'
  const der = Buffer.from(`302e020100300506032b657004220420${seed}`, 'hex')
  const sign = createSign(
    createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ format: 'pem', type: 'pkcs8' }).toString(),
  )
  assert.deepEqual(signRecord(JSON.parse(GOLDEN.text), sign).signature, GOLDEN.signature)
  assert.ok(isValid(GOLDEN))
  // A signature of the bare text, which another protocol of the key might make, is none of a record.
  assert.equal(isValid({ text: GOLDEN.text, signature: sign(GOLDEN.text) }), false)
})

test('keys of later versions are preserved, and the signature covers them', () => {
  const later = { ...signed.record, colour: 'green' } as typeof signed.record
  const { text, signature } = signRecord(later, author.tools.sign)
  assert.ok(isValid({ text, signature }))
  assert.ok(readRecord(text, signature)?.text.includes('green'))
})

test('a record names endpoints of every kind, and an old reader of the list skips what it does not know', () => {
  const endpoints = [
    '93.184.1.1:8088',
    'mapped://[2001:db8::1]:9000',
    'punched://93.184.1.2:49737',
    'relayed://93.184.1.2:2001',
  ]
  // A later version may say more of a kind.
  const later = ['relayed://relay.example:1', 'mapped://93.184.1.1', 'punched://[fe80::1%eth0]:1', 'mapped://']
  const { text, signature } = author.record({
    endpoints: [...endpoints, 'onion://abc', 'direct://93.184.1.1:1', ...later],
  })
  assert.deepEqual(readRecord(text, signature)?.record.endpoints, endpoints)
  assert.equal(subnetOf('relayed://93.184.1.2:2001').name, subnetOf('93.184.1.9:1').name)
})

test('ten thousand forged, altered and cross-signed records: none is valid', () => {
  const bases = Array.from({ length: 50 }, (_, seq) => author.record({ seq: seq + 1, name: `name ${seq}` }))
  const spent = process.cpuUsage()
  let accepted = 0
  for (let run = 0; run < 10_000; run += 1) {
    const base = bases[run % bases.length] as SignedRecord
    const other = bases[(run + 1 + (run % 7)) % bases.length] as SignedRecord
    const at = run % base.signature.length
    const kinds = [
      // Changed characters in the text or the signature, the signature of another record, another key or id.
      { text: base.text.replace(`name`, `nam${run}`), signature: base.signature },
      { text: base.text, signature: flip(base.signature, at % 85) },
      { text: base.text, signature: other.signature },
      { text: base.text.replace(author.key, unknown.key), signature: base.signature },
      { text: base.text.replace(author.id, unknown.id), signature: base.signature },
      { text: `${base.text} `, signature: base.signature },
      { text: base.text, signature: base.signature.slice(0, -1) },
      { text: base.text.replace('"seq":', '"seq":1'), signature: base.signature },
    ]
    const forged = kinds[run % kinds.length] as { text: string; signature: string }
    if (forged.signature !== base.signature || forged.text !== base.text) accepted += isValid(forged) ? 1 : 0
    else accepted += 1
  }
  assert.equal(accepted, 0)
  const { user, system } = process.cpuUsage(spent)
  assert.ok((user + system) / 1e6 < 4, `${(user + system) / 1e6} s of CPU`)
})

test('a record is invalid if another key signed it under this id, or this key under another id', () => {
  const crossed = signRecord({ ...signed.record, id: author.id, key: unknown.key }, unknown.tools.sign)
  assert.equal(isValid(crossed), false)
  const claimed = signRecord({ ...signed.record, id: unknown.id, key: author.key }, author.tools.sign)
  assert.equal(isValid(claimed), false)
})

test('invalid records are not parsed', () => {
  const bad = (change: object) => JSON.stringify({ ...signed.record, ...change })
  const texts = [
    '',
    'null',
    '[]',
    '{}',
    bad({ id: 'SHA256:short' }),
    bad({ key: 'ssh-rsa AAAA' }),
    bad({ seq: 0 }),
    bad({ seq: 2 ** 32 }),
    bad({ seq: 1.5 }),
    bad({ seq: '1' }),
    bad({ name: 'x'.repeat(129) }),
    bad({ endpoints: ['somewhere.example:8088'] }),
    bad({ endpoints: ['127.1:8088'] }),
    bad({ endpoints: ['20.0.0.1'] }),
    bad({ endpoints: ['20.0.0.1:0'] }),
    bad({ endpoints: ['[fe80::1%eth0]:8088'] }),
    bad({ endpoints: Array.from({ length: 9 }, () => '20.0.0.1:8088') }),
    bad({ customInformation: 'x'.repeat(2_049) }),
    bad({ port: 65_536 }),
    signed.text.replace('{', '{"__proto__":{"left":true},'),
    signed.text.replace('{', `{"pad":"${'x'.repeat(RECORD_MAX_CHARS)}",`),
  ]
  for (const text of texts) assert.equal(readRecord(text, signed.signature), undefined, text.slice(0, 60))
  assert.ok(readRecord(bad({ endpoints: ['[2001:db8::1]:8088', '20.0.0.1:8088'] }), ''))
  const later = readRecord(bad({ endpoints: ['relayed://20.0.0.9:7000/x', '20.0.0.1:8088'] }), '')
  assert.deepEqual(later?.record.endpoints, ['20.0.0.1:8088'], 'an endpoint of a later version is skipped')
  assert.match(later?.text ?? '', /relayed:/, 'and travels on')
})

test('subnetOf names the subnet of an address and says whether it is private', () => {
  const table: [string | undefined, string, boolean][] = [
    ['20.1.2.3:8088', '20.1.2', false],
    ['20.1.2.200:1', '20.1.2', false],
    ['[2001:db8:1:2300::1]:8088', '20010db8000123', false],
    ['[2001:db8:1:23ff:ffff::9]:8088', '20010db8000123', false],
    ['[2001:db8::1]:8088', '20010db8000000', false],
    ['10.0.0.5:8088', '10.0.0.5', true],
    ['192.168.1.7:8088', '192.168.1.7', true],
    ['172.20.0.1:8088', '172.20.0.1', true],
    ['172.32.0.1:8088', '172.32.0', false],
    ['[fd00::5]:8088', 'fd00::5', true],
    ['127.0.0.1:8088', '127.0.0.1:8088', true],
    ['[::1]:9000', '[::1]:9000', true],
    [undefined, '-', true],
  ]
  for (const [address, name, isPrivate] of table)
    assert.deepEqual(subnetOf(address), { name, private: isPrivate }, address)
})

function flip(text: string, at: number): string {
  const letter = text.charAt(at) === 'A' ? 'B' : 'A'
  return text.slice(0, at) + letter + text.slice(at + 1)
}
