import assert from 'node:assert/strict'
import { test } from 'node:test'
import { JSON_MAX_DEPTH } from '../../../protocol/defaults/listeners.ts'
import { decode, encode, WIRE_MAX_BYTES, type WireMessage, wireKinds } from '../../../protocol/wire/gossip.ts'
import type { ShortId } from '../../../protocol/wire/record.ts'

const HASH = 'abcdefghij+'
const SHORT = 'ABCDEFGHIJ/' as ShortId

/** The bytes of every kind. A changed line breaks compatibility with released nodes: add a kind or a version instead. */
const golden: [WireMessage, string][] = [
  [
    {
      kind: 'link/hello',
      body: { record: ['{}', 'c2ln'], root: HASH, active: true, links: 3, observedAddress: '20.0.0.1:5000' },
    },
    '["link/hello",1,{"record":["{}","c2ln"],"root":"abcdefghij+","active":true,"links":3,"observedAddress":"20.0.0.1:5000"}]',
  ],
  [{ kind: 'link/bye', body: { why: 'ephemeral' } }, '["link/bye",1,{"why":"ephemeral"}]'],
  [
    { kind: 'probe/ping', body: { nonce: 7, root: HASH, recent: `${SHORT}000000a`, active: false } },
    '["probe/ping",1,{"nonce":7,"root":"abcdefghij+","recent":"ABCDEFGHIJ/000000a","active":false}]',
  ],
  [
    { kind: 'probe/ack', body: { nonce: 7, root: HASH, active: true } },
    '["probe/ack",1,{"nonce":7,"root":"abcdefghij+","active":true}]',
  ],
  [
    { kind: 'probe/request', body: { nonce: 1, target: SHORT } },
    '["probe/request",1,{"nonce":1,"target":"ABCDEFGHIJ/"}]',
  ],
  [{ kind: 'probe/report', body: { nonce: 1, alive: false } }, '["probe/report",1,{"nonce":1,"alive":false}]'],
  [
    { kind: 'probe/suspect', body: { suspects: [[SHORT, 4, SHORT]] } },
    '["probe/suspect",1,{"suspects":[["ABCDEFGHIJ/",4,"ABCDEFGHIJ/"]]}]',
  ],
  [
    { kind: 'table/records', body: { records: [['{}', 'c2ln']], hops: 2 } },
    '["table/records",1,{"records":[["{}","c2ln"]],"hops":2}]',
  ],
  [{ kind: 'table/request', body: { shortIds: SHORT + SHORT } }, `["table/request",1,{"shortIds":"${SHORT}${SHORT}"}]`],
  [
    { kind: 'table/buckets', body: { buckets: HASH.repeat(64) } },
    `["table/buckets",1,{"buckets":"${HASH.repeat(64)}"}]`,
  ],
  [
    { kind: 'table/versions', body: { buckets: [[63, `${SHORT}zzzzzzz`]] } },
    '["table/versions",1,{"buckets":[[63,"ABCDEFGHIJ/zzzzzzz"]]}]',
  ],
]

test('every kind encodes to its golden bytes, which decode to the same message', () => {
  assert.deepEqual(golden.map(([{ kind }]) => kind).sort(), [...wireKinds.keys()].sort())
  for (const [message, text] of golden) {
    assert.equal(encode(message), text)
    assert.deepEqual(decode(text), message)
  }
})

test('unknown kinds, versions and keys are ignored', () => {
  assert.equal(decode('["table/poem",1,{"lines":[]}]'), 'unknown')
  assert.equal(decode('["probe/ping",2,{"nonce":7}]'), 'unknown')
  assert.equal(decode('["constructor",1,{}]'), 'unknown')
  assert.equal(decode('["toString",1,{}]'), 'unknown')
  assert.deepEqual(decode('["link/bye",1,{"why":"full","later":{"more":1}},"and more"]'), {
    kind: 'link/bye',
    body: { why: 'full' },
  })
})

test('invalid messages are protocol errors', () => {
  const deep = (depth: number) => `["link/bye",1,{"why":"x","deep":${'['.repeat(depth)}${']'.repeat(depth)}}]`
  const broken = [
    '',
    'null',
    '0',
    '{}',
    '[]',
    '["link/bye"]',
    '["link/bye","1",{"why":"x"}]',
    '["link/bye",1]',
    '["link/bye",1,null]',
    '["link/bye",1,{"why":7}]',
    `["link/bye",1,{"why":"${'x'.repeat(17)}"}]`,
    '["link/bye",1,{"why":"x","__proto__":{"polluted":true}}]',
    '["link/bye",1,{"why":"x","\\u005f_proto__":{"polluted":true}}]',
    '["probe/report",1,{"nonce":-1,"alive":true}]',
    '["probe/report",1,{"nonce":4294967296,"alive":true}]',
    '["probe/report",1,{"nonce":1.5,"alive":true}]',
    '["probe/report",1,{"nonce":1e400,"alive":true}]',
    '["probe/request",1,{"nonce":1,"target":"too short"}]',
    '["probe/suspect",1,{"suspects":[["ABCDEFGHIJ/",0,"ABCDEFGHIJ/"]]}]',
    '["probe/suspect",1,{"suspects":[["ABCDEFGHIJ/",4294967296,"ABCDEFGHIJ/"]]}]',
    `["probe/suspect",1,{"suspects":[${Array.from({ length: 65 }, () => '["ABCDEFGHIJ/",1,"ABCDEFGHIJ/"]').join()}]}]`,
    `["table/request",1,{"shortIds":"${SHORT.repeat(129)}"}]`,
    '["table/request",1,{"shortIds":"ABC"}]',
    `["table/buckets",1,{"buckets":"${HASH.repeat(63)}"}]`,
    '["table/versions",1,{"buckets":[[64,""]]}]',
    '["table/versions",1,{"buckets":[[0,"ABCDEFGHIJ/ZZZZZZZ"]]}]',
    '["table/records",1,{"records":[["{}"]],"hops":0}]',
    deep(JSON_MAX_DEPTH),
    deep(100_000),
  ]
  for (const text of broken) assert.equal(decode(text), 'protocolError', text.slice(0, 80))
  assert.equal(typeof decode(deep(JSON_MAX_DEPTH - 2)), 'object')
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
})

test('a frame beyond the limit is not parsed', () => {
  assert.equal(decode(`["link/bye",1,{"why":"x","more":"${'x'.repeat(WIRE_MAX_BYTES)}"}]`), 'oversized')
})

test('a hundred thousand mutations of valid messages never throw, and those that decode have a known kind', () => {
  let state = 42
  const chance = (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
    return (state >>> 8) % below
  }
  const alphabet = '"[]{},:0123456789eE+-.\\ultrasnfopqz_/\u0000é'
  for (let run = 0; run < 100_000; run += 1) {
    const [, text] = golden[chance(golden.length)] as [WireMessage, string]
    const letters = [...text]
    for (let edits = chance(4); edits >= 0; edits -= 1)
      letters.splice(chance(letters.length), chance(3), alphabet.charAt(chance(alphabet.length)))
    const decoded = decode(letters.join(''))
    if (typeof decoded !== 'string') assert.ok(wireKinds.has(decoded.kind))
  }
})
