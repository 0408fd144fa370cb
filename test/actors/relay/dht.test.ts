import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import blindRelay from 'blind-relay'
import HyperDht, { type SecretStream } from 'hyperdht'
import { idOf, pointOf } from '../../../actors/net/punched/nodeKeys.ts'
import { openRelayDht, type RelayDhtOptions } from '../../../actors/relay/dht/relayDht.ts'
import { type RelayDhtProcessOptions, startRelayDht } from '../../../actors/relay/dht.ts'
import { createRelayQuota } from '../../../actors/relay/quota.ts'
import type { DhtEmits } from '../../../machines/relay/dht.ts'
import { RELAY_LIMITS } from '../../../protocol/defaults/relay.ts'
import { blindClient } from '../../support/blindClient.ts'
import { newIdentity } from '../../support/httpHarness.ts'

const dir = mkdtempSync(join(tmpdir(), 'p2prc-dht-'))
after(() => rmSync(dir, { recursive: true }))

/** A group of ports that no other test uses. */
const freePort = () => 20_000 + 8 * randomInt(1_000)
const newPair = () => HyperDht.keyPair(randomBytes(32))

/** Opens the DHT in this process, which consents to everybody where nothing else is said. */
async function openHere(options: Partial<RelayDhtOptions>) {
  const seed = randomBytes(32)
  const port = freePort()
  let taken = 0
  const take = async () => {
    taken += 1
    return () => {
      taken -= 1
    }
  }
  const base = { Dht: HyperDht, blindRelay, host: '127.0.0.1', bind: '127.0.0.1', port, seed }
  const dht = await openRelayDht({ ...base, authorize: async () => true, take, ...options })
  return { ...dht, port, key: HyperDht.keyPair(seed).publicKey, taken: () => taken }
}

/** Waits until there is something, and returns it. */
async function until<T>(find: () => T | false | undefined, ms = 15_000): Promise<T> {
  const deadline = performance.now() + ms
  for (;;) {
    const found = find()
    if (found !== undefined && found !== false) return found
    if (performance.now() > deadline) throw new Error(`not so within ${ms} ms: ${find}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

const closed = (stream: SecretStream) => until(() => stream.destroyed)

test('two clients are paired once for each stream, exchange bytes, and end within the rate and the time', async () => {
  const limits = { bytesPerSecond: 1_000, burstBytes: 200_000, tickMs: 20 }
  const relay = await openHere({ limits, pairTimeoutMs: 1_000 })
  const [alice, bob] = await Promise.all([blindClient(newPair(), relay.port), blindClient(newPair(), relay.port)])
  const open = () => Promise.all([alice.open(relay.key), bob.open(relay.key)])
  try {
    const [one, other] = await open()
    const token = blindRelay.token()
    const [sender, receiver] = await Promise.all([alice.pair(one, token, true), bob.pair(other, token, false)])
    sender.write(Buffer.from('over the relay'))
    assert.equal(String((await once(receiver, 'data'))[0]), 'over the relay')
    await until(() => relay.streams().every(({ bytes }) => bytes >= 14))
    assert.equal(relay.taken(), 2)
    // Too fast for the relay.
    const ended = Promise.all([closed(one), closed(other)])
    receiver.on('data', () => {})
    for (let count = 0; count < 5; count++) sender.write(Buffer.alloc(64 * 1_024))
    await ended
    await until(() => relay.taken() === 0)
    assert.deepEqual(relay.streams(), [])

    const [second, silent] = await open()
    // A second token on one stream ends it, as does none in time.
    alice.pair(second, blindRelay.token(), true).catch(() => {})
    alice.pair(second, blindRelay.token(), true).catch(() => {})
    await Promise.all([closed(second), closed(silent)])
    await until(() => relay.taken() === 0)
  } finally {
    await Promise.all([alice.close(), bob.close(), relay.close()])
  }
})

test('nodes of others do not become members, and no other DHT is asked', async () => {
  const relay = await openHere({})
  const bootstrap = [{ host: '127.0.0.1', port: relay.port }]
  const local = { bootstrap, port: [0, 0] as const, host: '127.0.0.1', firewalled: false }
  const outsider = new HyperDht({ ...local, ephemeral: false })
  await outsider.fullyBootstrapped()
  const client = new HyperDht({ ...local, ephemeral: true })
  try {
    await client.fullyBootstrapped()
    const members = client.toArray({ limit: 20 }).map(({ port }) => port)
    assert.deepEqual(
      members.sort(),
      [0, 1, 2, 3].map((at) => relay.port + at),
    )
  } finally {
    await Promise.all([client, outsider].map((each) => each.destroy({ force: true })))
    await relay.close()
  }
})

/** Starts the process, and returns what it reports. */
async function startProcess(options: Partial<RelayDhtProcessOptions> = {}) {
  const identity = await newIdentity(dir, 'relay')
  const changes: DhtEmits[] = []
  const relay = startRelayDht({
    identity,
    host: '127.0.0.1',
    bind: '127.0.0.1',
    port: freePort(),
    authorize: () => true,
    quota: createRelayQuota(RELAY_LIMITS, () => false),
    onChange: (change) => changes.push(change),
    ...options,
  })
  return { ...relay, changes, key: pointOf(identity.publicKey) }
}

const built = resolve(import.meta.dirname, '../../../dist/relayDhtProcess.js')

/** The processes that this one has started. */
const children = () => readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').split(' ').filter(Boolean)

test('the process asks about each client, counts in the quota, lists what it relays, and lets the owner end it', async () => {
  const friend = newPair()
  const outsider = newPair()
  const asked = new Set<string>()
  const relay = await startProcess({
    authorize: (id) => {
      asked.add(id)
      return id === idOf(friend.publicKey)
    },
    quota: createRelayQuota({ ...RELAY_LIMITS, pairsPerClient: 2 }, () => false),
  })
  const started = await until(() => relay.changes.find((change) => change.type === 'dht.started'))
  const [alice, mallory] = await Promise.all([blindClient(friend, started.port), blindClient(outsider, started.port)])
  try {
    let isOpen = false
    const open = () => {
      isOpen = true
    }
    mallory.open(relay.key).then(open, () => {})
    const [one, other] = await Promise.all([alice.open(relay.key), alice.open(relay.key)])
    const token = blindRelay.token()
    const [sender, receiver] = await Promise.all([alice.pair(one, token, true), alice.pair(other, token, false)])
    const third = await alice.open(relay.key)
    await closed(third)
    sender.write(Buffer.from('hello'))
    assert.equal(String((await once(receiver, 'data'))[0]), 'hello')
    const listed = await until(() => relay.streams().every(({ bytes }) => bytes >= 5) && relay.streams())
    assert.deepEqual(
      listed.map(({ client }) => client),
      [idOf(friend.publicKey), idOf(friend.publicKey)],
    )
    assert.ok(listed.every(({ from }) => /^127\.0\.0\.1:\d+$/.test(from)))
    relay.closeClient(idOf(friend.publicKey))
    await Promise.all([closed(one), closed(other)])
    await until(() => relay.streams().length === 0)
    await until(() => asked.has(idOf(outsider.publicKey)))
    assert.equal(isOpen, false)
  } finally {
    await Promise.all([alice.close(), mallory.close(), relay.stop()])
  }
  assert.deepEqual(children(), [])
})

test('the process starts again when it has ended, on other ports where its own are taken', async () => {
  const first = await startProcess()
  const { port } = await until(() => first.changes.find((change) => change.type === 'dht.started'))
  const second = await startProcess({ port })
  const elsewhere = await until(() => second.changes.find((change) => change.type === 'dht.started'))
  assert.notEqual(elsewhere.port, port)
  await second.stop()
  for (const pid of children()) process.kill(Number(pid), 'SIGKILL')
  await until(() => first.changes.length === 3)
  assert.deepEqual(
    first.changes.map(({ type }) => type),
    ['dht.started', 'dht.stopped', 'dht.started'],
  )
  await first.stop()
  assert.deepEqual(children(), [])
})

test('where hyperdht does not load, the relay has no DHT and says why', async () => {
  // A build that lies where no packages are.
  const script = join(dir, 'relayDhtProcess.js')
  copyFileSync(built, script)
  const relay = await startProcess({ script, execArgv: [] })
  const change = await until(() => relay.changes[0])
  assert.equal(change.type, 'dht.missing')
  assert.match('why' in change ? change.why : '', /hyperdht does not load: it is not installed$/)
  await relay.stop()
})

test('the process of a build takes 80 MB at most', async () => {
  const relay = await startProcess({ script: built, execArgv: [] })
  await until(() => relay.changes.find((change) => change.type === 'dht.started'))
  const [pid] = children()
  const [, kilobytes] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  await relay.stop()
  assert.ok(Number(kilobytes) / 1_024 <= 80, `${Math.round(Number(kilobytes) / 1_024)} MB`)
})
