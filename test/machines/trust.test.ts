import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { initialTransition, transition } from 'xstate'
import { makeSshKeyPair, parsePublicKey } from '../../actors/identity.ts'
import { request } from '../../actors/request.ts'
import { openStore, type Store } from '../../actors/store.ts'
import { supervise } from '../../actors/supervise.ts'
import { createTrust, emptyTrust, trustFile } from '../../actors/trust.ts'
import { trustMachine } from '../../machines/trust.ts'
import { createBus } from '../../protocol/bus.ts'
import { AppError } from '../../protocol/errors.ts'
import type { TrustFile } from '../../protocol/files/trust.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { BusEvent, Command } from '../../protocol/index.ts'
import { record } from '../support/harness.ts'

const dir = await mkdtemp(join(tmpdir(), 'p2prc-trust-'))
after(() => rm(dir, { recursive: true, force: true }))

type Entry = TrustFile['peers'][number]
const entry = (id: string, name: string): Entry => ({
  id: `SHA256:${id}` as NodeId,
  name,
  key: `ssh-ed25519 ${id}`,
  addedAt: '',
})
const known = [entry('abc1', 'alice'), entry('abd2', 'bob'), entry('xyz3', 'bob'), entry('alice9', '')]
const meta = { requestId: 'r', caller: 'owner' as const }

const removals: [string, string][] = [
  ['alice', 'SHA256:abc1'],
  ['SHA256:abc1', 'SHA256:abc1'],
  ['abc', 'SHA256:abc1'],
  ['SHA256:x', 'SHA256:xyz3'],
  ['ssh-ed25519 xyz3 some comment', 'SHA256:xyz3'],
  ['alice9', 'SHA256:alice9'],
  ['bob', 'ambiguous'],
  ['ab', 'ambiguous'],
  ['SHA256:', 'not_found'],
  ['nobody', 'not_found'],
  ['S', 'not_found'],
  ['ssh-ed25519', 'not_found'],
  [' ', 'not_found'],
  ['"; touch X; "', 'not_found'],
  ['\u001b[31m', 'not_found'],
]

for (const [who, outcome] of removals) {
  test(`removing ${JSON.stringify(who)} among four is ${outcome}`, () => {
    const [start] = initialTransition(trustMachine, { peers: known })
    const [next, actions] = transition(trustMachine, start, { type: 'trust.remove', who, ...meta })
    if (outcome.startsWith('SHA256:')) {
      assert.equal(next.value, 'saving')
      assert.equal(next.context.draft?.peer.id, outcome)
      assert.equal(next.context.draft?.peers.length, 3)
      assert.equal(next.context.peers, known, 'the rights follow the file, not the request')
      return
    }
    assert.equal(next.value, 'idle')
    const emitted = JSON.parse(JSON.stringify(actions)).map(
      (action: { params?: { event?: object } }) => action.params?.event,
    )
    const event = emitted.find((one?: { type: string }) => one?.type === 'trust.removeFailed')
    assert.equal(event?.code, outcome)
    assert.match(event?.message ?? '', /^[\x20-\x7e]+$/)
  })
}

async function trustFixture(store?: Store<TrustFile>) {
  const path = join(dir, `${Math.random()}.json`)
  const file = store ?? (await openStore(path, { schema: trustFile, empty: emptyTrust, indent: '  ' }))
  const bus = createBus<BusEvent>()
  const seen = record(bus)
  const trust = supervise(createTrust({ store: file }), { bus })
  trust.start()
  let serial = 0
  const send = (command: object) => request(bus, { ...command, requestId: `r${++serial}`, caller: 'owner' } as Command)
  const trusted = () => seen.flatMap((event) => (event.type === 'trust.changed' ? [event.trusted] : [])).at(-1)
  return { path, file, bus, seen, trust, send, trusted }
}

const alice = makeSshKeyPair('alice').publicKey
const bob = makeSshKeyPair('').publicKey
const idOf = (line: string) => parsePublicKey(line).fingerprint

test('the rights follow add, rename and remove, and the file keeps them over a restart', async () => {
  const { path, send, trusted, trust, seen } = await trustFixture()
  assert.deepEqual(trusted(), [], 'said at the start')
  await send({ type: 'trust.add', key: `${alice}\n`, name: '' })
  await send({ type: 'trust.add', key: bob, name: 'bob' })
  assert.deepEqual(trusted(), [idOf(alice), idOf(bob)])
  const changed = seen.findIndex(({ type }) => type === 'trust.added')
  assert.equal(seen[changed - 1]?.type, 'trust.changed', 'the rights hold before the answer comes')
  await send({ type: 'trust.add', key: alice, name: 'ally' })
  await send({ type: 'trust.add', key: alice.split(' ').slice(0, 2).join(' '), name: '' })
  const listed = await send({ type: 'trust.list' })
  const peers = [
    { id: idOf(alice), name: 'ally', key: parsePublicKey(alice).key },
    { id: idOf(bob), name: 'bob', key: parsePublicKey(bob).key },
  ]
  assert.deepEqual(listed.type === 'trust.listed' && listed.peers, peers)
  trust.stop()

  const written = JSON.parse(await readFile(path, 'utf8'))
  assert.equal(written.version, 1)
  assert.match(written.peers[0].addedAt, /^\d{4}-\d\d-\d\dT/)
  const again = await trustFixture(await openStore(path, { schema: trustFile, empty: emptyTrust, indent: '  ' }))
  assert.deepEqual(again.trusted(), [idOf(alice), idOf(bob)])
  const removed = await again.send({ type: 'trust.remove', who: 'ally' })
  assert.deepEqual(removed.type === 'trust.removed' && removed.peer, peers[0])
  assert.deepEqual(again.trusted(), [idOf(bob)])
  again.trust.stop()
})

test('unknown fields of a later version stay in the file', async () => {
  const path = join(dir, 'later.json')
  const peer = { ...entry('abc'.padEnd(43, 'A'), 'x'), quota: 7 }
  await writeFile(path, JSON.stringify({ version: 1, peers: [peer], policy: { a: 1 } }))
  const { send, trust } = await trustFixture(
    await openStore(path, { schema: trustFile, empty: emptyTrust, indent: '  ' }),
  )
  await send({ type: 'trust.add', key: alice, name: '' })
  const { policy, peers } = JSON.parse(await readFile(path, 'utf8'))
  assert.deepEqual([policy, peers[0], peers.length], [{ a: 1 }, peer, 2])
  trust.stop()
})

test('an invalid key is bad_key, and nothing changes', async () => {
  const { send, trusted, trust } = await trustFixture()
  for (const key of ['x', '"; touch X; "', `${alice}\n${bob}`, `command="x" ${alice}`]) {
    await assert.rejects(send({ type: 'trust.add', key, name: '' }), { code: 'bad_key' })
  }
  assert.deepEqual(trusted(), [])
  trust.stop()
})

test('many concurrent changes are made one after another, and none is lost', async () => {
  const { send, trusted, trust } = await trustFixture()
  const keys = Array.from({ length: 20 }, (_, number) => makeSshKeyPair(`peer${number}`).publicKey)
  await Promise.all(keys.map((key) => send({ type: 'trust.add', key, name: '' })))
  assert.deepEqual(trusted(), keys.map(idOf))
  await Promise.all(keys.slice(1).map((_, number) => send({ type: 'trust.remove', who: `peer${number + 1}` })))
  assert.deepEqual(trusted(), [idOf(keys[0] as string)])
  trust.stop()
})

test('if the file cannot be written the rights stay unchanged, and the next change works', async () => {
  let full = true
  const file: { data: TrustFile } = { data: emptyTrust() }
  const write = async (next: TrustFile) => {
    if (full) throw new AppError('disk_failed', { path: 'trust.json', why: 'no space left' })
    file.data = next
  }
  const unused = { update: async () => {}, onChange: () => () => {}, settled: async () => {} }
  const store: Store<TrustFile> = { ...file, write, ...unused }
  Object.defineProperty(store, 'data', { get: () => file.data })
  const { send, trusted, trust } = await trustFixture(store)
  await assert.rejects(send({ type: 'trust.add', key: alice, name: '' }), { code: 'disk_failed' })
  assert.deepEqual(trusted(), [])
  full = false
  await send({ type: 'trust.add', key: alice, name: '' })
  full = true
  await assert.rejects(send({ type: 'trust.remove', who: 'alice' }), { code: 'disk_failed' })
  assert.deepEqual(trusted(), [idOf(alice)])
  trust.stop()
})
