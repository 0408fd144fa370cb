import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type HyperDht from 'hyperdht'
import type { DhtAddress, DhtRequest, KeyPair } from 'hyperdht'
import { openRelayDht, type RelayDhtClientOptions } from '../../../actors/net/punched/relayDhtClient.ts'
import { DHT_PORTS } from '../../../protocol/defaults/punched.ts'

const RELAY = { host: '198.51.100.7', port: 49_737 }

/** What hyperdht is for this test: the addresses that answer, and whether it was closed. */
class FakeDht extends EventEmitter {
  static last: FakeDht
  static answering: DhtAddress[] = [RELAY]
  _filterNode: (node: DhtAddress) => boolean = () => true
  isDestroyed = false
  readonly options: { bootstrap: DhtAddress[] }

  constructor(options: { bootstrap: DhtAddress[] }) {
    super()
    this.options = options
    FakeDht.last = this
  }

  onrequest(_request: DhtRequest): boolean {
    return false
  }

  async fullyBootstrapped(): Promise<void> {}

  toArray(): DhtAddress[] {
    return FakeDht.answering
  }

  async destroy(): Promise<void> {
    this.isDestroyed = true
  }
}

const open = (options: Partial<RelayDhtClientOptions> = {}, relay = RELAY) =>
  openRelayDht(FakeDht as unknown as typeof HyperDht, relay, { keyPair: {} as KeyPair, ...options })

test('a DHT that lies about addresses: none but those of the relay is a member, whatever its nodes answer', async () => {
  const { isRelay } = await open()
  const { last } = FakeDht
  assert.deepEqual(last.options.bootstrap, [RELAY])
  const members = Array.from({ length: DHT_PORTS }, (_, at) => ({ host: RELAY.host, port: RELAY.port + at }))
  for (const member of members) assert.equal(last._filterNode(member), true)
  for (const other of [
    { host: RELAY.host, port: RELAY.port - 1 },
    { host: RELAY.host, port: RELAY.port + DHT_PORTS },
    { host: '127.0.0.1', port: RELAY.port },
    { host: '169.254.169.254', port: RELAY.port },
    { host: '203.0.113.9', port: RELAY.port },
  ]) {
    assert.equal(last._filterNode(other), false, `${other.host}:${other.port}`)
    assert.equal(isRelay(other.host, other.port), false)
  }
})

test('datagrams go to no address that a peer may not name: loopback, metadata, multicast and services of the system', async () => {
  const { holepunch } = await open()
  const allowed = (...addresses: DhtAddress[]) => holepunch(0, 0, addresses)
  assert.equal(allowed({ host: '203.0.113.9', port: 40_000 }, { host: '192.168.1.7', port: 40_000 }), true)
  assert.equal(holepunch(0, 0, null), true, 'none is known yet')
  // A router that gives each destination another port has an address without one.
  assert.equal(allowed({ host: '203.0.113.9', port: 0 }), true)
  for (const host of ['127.0.0.1', '169.254.169.254', '224.0.0.1', '0.0.0.0', '255.255.255.255'])
    assert.equal(allowed({ host: '203.0.113.9', port: 40_000 }, { host, port: 40_000 }), false, host)
  assert.equal(allowed({ host: '203.0.113.9', port: 22 }), false)
})

test('a relay that is named by something else than an IPv4 address is not asked, and one that is silent is closed', async () => {
  const before = FakeDht.last
  for (const host of ['::1', 'relay.example', ''])
    await assert.rejects(open({}, { ...RELAY, host }), { code: 'bad_address' })
  assert.equal(FakeDht.last, before)
  FakeDht.answering = []
  await assert.rejects(open({ answerTimeoutMs: 1 }), { code: 'unreachable' })
  assert.equal(FakeDht.last.isDestroyed, true)
  FakeDht.answering = [RELAY]
})
