import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createActor, createMachine, fromPromise } from 'xstate'
import { contextView } from '../../../actors/registry/contextView.ts'
import { CONTEXT_MAX_CHARS, CONTEXT_MAX_DEPTH, TEXT_MAX_CHARS } from '../../../protocol/defaults/registry.ts'
import { readJson } from '../../../protocol/json.ts'
import { Secret } from '../../../protocol/secret.ts'

const aborted = AbortSignal.abort()
const child = createActor(fromPromise(async () => 1))
const machine = createMachine({ id: 'containerManager', invoke: { id: 'image', src: fromPromise(async () => 1) } })
const root = createActor(machine).start()
const self: Record<string, unknown> = { name: 'self' }
self.self = self
self.list = [self]
class Engine {
  socket = 'private to it'
}

const cases: [what: string, given: unknown, shown: unknown][] = [
  ['plain values', { a: 1, b: 'x', c: true, d: null }, { a: 1, b: 'x', c: true, d: null }],
  ['functions and undefined are left out', { f: () => 1, u: undefined, a: 1 }, { a: 1 }],
  ['in a list they keep their place', [() => 1, undefined, 1], [null, null, 1]],
  ['a context that is a function', () => 1, null],
  ['a Map as an object', new Map<unknown, unknown>([['a', new Map([[1, 2]])]]), { a: { 1: 2 } }],
  ['a Set as a list', new Set([1, 'a']), [1, 'a']],
  ['a secret', { password: new Secret('hunter2') }, { password: '•••' }],
  ['a secret as a key of a Map', new Map([[new Secret('hunter2'), 1]]), { '•••': 1 }],
  [
    'two secrets as keys',
    new Map([
      [new Secret('a'), 1],
      [new Secret('b'), 2],
    ]),
    { '•••': 1, '••• (2)': 2 },
  ],
  ['a secret inside a key of a Map', new Map([[{ of: new Secret('hunter2') }, 1]]), { '{"of":"•••"}': 1 }],
  ['a secret in a Set', new Set([new Secret('hunter2')]), ['•••']],
  [
    'text under the name of a secret',
    { SSHPassword: 'hunter2', privateKey: 'x' },
    { SSHPassword: '•••', privateKey: '•••' },
  ],
  ['the same as a key of a Map', new Map([['token', 'hunter2']]), { token: '•••' }],
  ['whether there is a password is no secret', { password: true, secret: '' }, { password: true, secret: '' }],
  ['bytes under the name of a secret', { secret: Buffer.from('x') }, { secret: '•••' }],
  ['a private key in any text', { line: '-----BEGIN OPENSSH PRIVATE KEY-----\nabc' }, { line: '•••' }],
  ['the credentials of a URL', { from: 'see https://me:pw@host/x' }, { from: 'see https://•••@host/x' }],
  ['the same as a URL', { from: new URL('https://me:pw@host/x') }, { from: 'https://•••@host/x' }],
  ['cycles', self, { name: 'self', self: '[circular]', list: ['[circular]'] }],
  ['a Map that holds itself', mapInItself(), { map: '[circular]', '[circular]': 1 }],
  ['a BigInt', { big: 12n, list: [1n] }, { big: '12n', list: ['1n'] }],
  ['a BigInt as a key', new Map([[1n, 1]]), { '1n': 1 }],
  ['a function as a key', new Map([[() => 1, 1]]), { '[function]': 1 }],
  ['numbers that JSON lacks', [Number.NaN, Number.NEGATIVE_INFINITY], ['NaN', '-Infinity']],
  ['a symbol', { s: Symbol('x'), [Symbol('hidden')]: 1 }, { s: 'Symbol(x)' }],
  ['dates', [new Date(0), new Date(Number.NaN)], ['1970-01-01T00:00:00.000Z', '[Invalid Date]']],
  ['signals', [aborted, new AbortController().signal], ['[AbortSignal: aborted]', '[AbortSignal: not aborted]']],
  [
    'an actor as its path',
    { root, image: root.getSnapshot().children.image },
    { root: 'containerManager', image: 'containerManager/image' },
  ],
  ['an actor without a parent', { child }, { child: child.id }],
  [
    'buffers as their sizes',
    [Buffer.alloc(5), new Float64Array(2), new ArrayBuffer(3), new DataView(new ArrayBuffer(4))],
    ['[Buffer: 5 bytes]', '[Float64Array: 16 bytes]', '[ArrayBuffer: 3 bytes]', '[DataView: 4 bytes]'],
  ],
  ['an error', { error: new TypeError('no') }, { error: 'TypeError: no' }],
  [
    'an instance of a class',
    { engine: new Engine(), promise: Promise.resolve() },
    { engine: '[Engine]', promise: '[Promise]' },
  ],
  ['no prototype', Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ['a toJSON of its own is not called', { a: { toJSON: () => 'called', b: 1 } }, { a: { b: 1 } }],
  [
    'a getter that throws',
    {
      a: 1,
      get b() {
        throw new Error('no')
      },
    },
    { a: 1, b: '[unreadable]' },
  ],
  [
    'a proxy that throws',
    {
      a: new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error('no')
          },
        },
      ),
    },
    { a: '[unreadable]' },
  ],
  ['a key that readers refuse', new Map([['__proto__', 1]]), { '[__proto__]': 1 }],
  ['a primitive', 5, 5],
  ['nothing', undefined, null],
]

function mapInItself(): Map<unknown, unknown> {
  const map = new Map<unknown, unknown>()
  map.set('map', map)
  map.set(map, 1)
  return map
}

for (const [what, given, shown] of cases)
  test(`a context is shown JSON-safe and redacted: ${what}`, () => {
    const view = contextView(given)
    assert.deepEqual(view, shown)
    const text = JSON.stringify(view)
    assert.deepEqual(readJson(text), view, 'every reader takes it')
    assert.doesNotMatch(text, /hunter2/)
  })

test('what stands twice without a cycle is shown twice', () => {
  const shared = { a: 1 }
  assert.deepEqual(contextView({ one: shared, two: shared }), { one: { a: 1 }, two: { a: 1 } })
})

test('a large context is cut at the documented sizes, each cut with a mark', () => {
  const endless = { *[Symbol.iterator]() {} }
  const large: [unknown, RegExp][] = [
    [Array.from({ length: 100_000 }, (_, at) => at), /"… \d+ more"\]$/],
    [new Set(Array.from({ length: 100_000 }, (_, at) => at)), /"… \d+ more"\]$/],
    [new Map(Array.from({ length: 100_000 }, (_, at) => [at, at])), /"…":"\d+ more"\}$/],
    [Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`k${at}`, at])), /"…":"\d+ more"\}$/],
    [
      Array.from({ length: 1_000 }, () => ({ list: Array.from({ length: 1_000 }, () => 'x'.repeat(99)) })),
      /… \d+ more/,
    ],
    [new Array(1_000_000_000), /more"\]$/],
    [{ text: 'x'.repeat(1_000_000), endless }, new RegExp(`… ${1_000_000 - TEXT_MAX_CHARS} more characters`)],
    [new Map([['k'.repeat(1_000_000), 1]]), /more characters":1/],
  ]
  for (const [given, mark] of large) {
    const text = JSON.stringify(contextView(given))
    assert.match(text, mark)
    assert.ok(text.length <= CONTEXT_MAX_CHARS + 2 * TEXT_MAX_CHARS, `${text.length} characters`)
  }
  let deep: unknown = 'bottom'
  for (let level = 0; level < 100_000; level += 1) deep = { deep }
  const text = JSON.stringify(contextView(deep))
  assert.equal(text.match(/deep/g)?.length, CONTEXT_MAX_DEPTH)
  assert.match(text, /"deep":"…"/)
})

test('a context is left as it was, and so is what it refers to', () => {
  const context = Object.freeze({ map: new Map([['a', Object.freeze({ b: 1 })]]), set: new Set([1]) })
  contextView(context)
  assert.deepEqual(context, { map: new Map([['a', { b: 1 }]]), set: new Set([1]) })
})
