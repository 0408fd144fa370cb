import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createDomainNames } from '../../../actors/relay/domainNames.ts'
import { openStore } from '../../../actors/store.ts'
import { DOMAIN_LIMITS } from '../../../protocol/defaults/relay.ts'
import { domainsFile, emptyDomains } from '../../../protocol/files/domains.ts'
import { domainOfHost, readDomainName } from '../../../protocol/net/domainName.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-domains-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const [alice, bob] = ['A', 'B'].map((letter) => `SHA256:${letter.repeat(43)}`) as [string, string]
const anonymous = '203.0.113.7'

let serial = 0
async function start(path = join(folder, `domains-${++serial}.json`)) {
  const store = await openStore(path, { schema: domainsFile, empty: emptyDomains, indent: '  ' })
  const lent = new Map([
    [20_001, alice],
    [20_002, bob],
    [20_003, anonymous],
  ])
  const clock = { now: 1_800_000_000_000 }
  const names = createDomainNames({ store, isLent: (port, client) => lent.get(port) === client, now: () => clock.now })
  return { names, lent, clock, path }
}

test('a domain name has two labels at least, no port and no address', () => {
  for (const [text, name] of [
    ['Shop.Example.org', 'shop.example.org'],
    ['a.b.', 'a.b'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['localhost', undefined],
    ['deep.localhost', undefined],
    ['127.0.0.1', undefined],
    ['[::1]', undefined],
    ['a.b:80', undefined],
    ['a..b', undefined],
    ['-a.b', undefined],
    ['a.b/../c', undefined],
    ['a_b.c', undefined],
    [`${'a.'.repeat(130)}b`, undefined],
    ['', undefined],
  ] as const)
    assert.equal(readDomainName(text), name, text)
  assert.equal(domainOfHost('Shop.Example.org:8443'), 'shop.example.org')
  assert.equal(domainOfHost('169.254.169.254'), undefined)
  assert.equal(domainOfHost(undefined), undefined)
})

test('a name leads to the port that is lent to its owner, and to no other port', async () => {
  const { names, lent } = await start()
  assert.equal(await names.claim('Shop.Example.org', alice, 20_001), 'shop.example.org')
  assert.equal(names.portOf('shop.example.org'), 20_001)
  assert.equal(names.portOf('other.example.org'), null)
  // A port of another client, SSH, the engine, and this node's own.
  for (const port of [20_002, 22, 2_375, 8_088])
    await assert.rejects(names.claim('shop.example.org', alice, port), { code: 'port_not_lent' })
  await assert.rejects(names.claim('fresh.example.org', alice, 22), { code: 'port_not_lent' })
  assert.equal(names.portOf('fresh.example.org'), null, 'a refused name is not kept')
  await assert.rejects(names.claim('http://169.254.169.254', alice, 20_001), { code: 'bad_domain' })
  lent.delete(20_001)
  names.hide(20_001)
  assert.equal(names.portOf('shop.example.org'), undefined, 'known, and not shown')
})

test('a domain claimed twice is refused, also while its owner shows nothing and after a restart', async () => {
  const { names, path } = await start()
  await names.claim('shop.example.org', alice, 20_001)
  await assert.rejects(names.claim('shop.example.org', bob, 20_002), { code: 'domain_taken' })
  await assert.rejects(names.claim('SHOP.example.org.', anonymous, 20_003), { code: 'domain_taken' })
  names.hide(20_001)
  await assert.rejects(names.claim('shop.example.org', bob, 20_002), { code: 'domain_taken' })
  const later = await start(path)
  await assert.rejects(later.names.claim('shop.example.org', bob, 20_002), { code: 'domain_taken' })
  await later.names.claim('shop.example.org', alice, 20_001)
  later.names.hide(20_001)
  later.clock.now += DOMAIN_LIMITS.keepMs
  await later.names.claim('shop.example.org', bob, 20_002)
  await assert.rejects(later.names.claim('shop.example.org', alice, 20_001), { code: 'domain_taken' })
})

test('two that claim a name at once: one has it', async () => {
  const { names } = await start()
  const results = await Promise.allSettled([
    names.claim('race.example.org', alice, 20_001),
    names.claim('race.example.org', bob, 20_002),
  ])
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  assert.equal(names.portOf('race.example.org'), 20_001)
})

test('whoever has no key has a name as long as the port, and takes none from a key', async () => {
  const { names } = await start()
  await names.claim('plain.example.org', anonymous, 20_003)
  await assert.rejects(names.claim('plain.example.org', alice, 20_001), { code: 'domain_taken' })
  names.hide(20_003)
  assert.equal(names.portOf('plain.example.org'), null)
  await names.claim('plain.example.org', alice, 20_001)
  await assert.rejects(names.claim('plain.example.org', anonymous, 20_003), { code: 'domain_taken' })
})

test('one client has so many names and no more, and may claim its own again', async () => {
  const { names } = await start()
  for (let at = 0; at < DOMAIN_LIMITS.perClient; at += 1) await names.claim(`n${at}.example.org`, alice, 20_001)
  await assert.rejects(names.claim('one.more.org', alice, 20_001), { code: 'too_many_domains' })
  await names.claim('n0.example.org', alice, 20_001)
  await names.claim('one.more.org', bob, 20_002)
})

test('a port that is given back while the name is written is not shown', async () => {
  const { names, lent } = await start()
  const claimed = names.claim('shop.example.org', alice, 20_001)
  lent.set(20_001, bob)
  names.hide(20_001)
  await assert.rejects(claimed, { code: 'port_not_lent' })
  assert.equal(names.portOf('shop.example.org'), undefined)
})
