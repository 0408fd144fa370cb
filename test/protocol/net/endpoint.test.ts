import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  directEndpoint,
  ENDPOINT_MAX_CHARS,
  endpointKinds,
  formatEndpoint,
  isOtherKind,
  isSameEndpoint,
  parseEndpoint,
  parseEndpoints,
  placeOf,
} from '../../../protocol/net/endpoint.ts'

const port = fc.integer({ min: 1, max: 65_535 })
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.domain().filter((name) => name.length <= 50),
)
const kind = fc.constantFrom(...endpointKinds)
const endpoint = fc.record({ host, port, kind }).map((one) => ({ ...directEndpoint(one), kind: one.kind }))

test('the text of an endpoint parses to the same endpoint', () => {
  fc.assert(fc.property(endpoint, (one) => assert.deepEqual(parseEndpoint(formatEndpoint(one)), one)))
})

test('a direct endpoint is its address, every other one names its kind, and the longest fits into a record', () => {
  const texts = endpointKinds.map((kind) => formatEndpoint({ kind, host: '10.0.0.1', port: 8_088 }))
  assert.deepEqual(texts, [
    '10.0.0.1:8088',
    'mapped://10.0.0.1:8088',
    'punched://10.0.0.1:8088',
    'relayed://10.0.0.1:8088',
  ])
  const longest = formatEndpoint({ kind: 'relayed', host: Array(8).fill('ffff').join(':'), port: 65_535 })
  assert.ok(longest.length <= ENDPOINT_MAX_CHARS)
})

test('two endpoints are at the same place if and only if both are TCP or both UDP at one address', () => {
  const pairs = fc.oneof(
    fc.tuple(endpoint, endpoint),
    fc.tuple(endpoint, kind).map(([one, kind]) => [one, { ...one, kind }] as const),
  )
  fc.assert(
    fc.property(pairs, ([one, other]) =>
      assert.deepEqual(
        [isSameEndpoint(one, other), placeOf(one) === placeOf(other)],
        Array(2).fill(
          one.host === other.host && one.port === other.port && (one.kind === 'punched') === (other.kind === 'punched'),
        ),
      ),
    ),
  )
})

test('a list skips what is invalid or of an unknown kind, and keeps the rest in order', () => {
  const bad = [
    '',
    ':',
    '[::',
    'a b:1',
    '1.2.3.4:99999',
    'relayed://relay.example:7000/4711',
    'punched://a b:1',
    'mapped://',
  ]
  const texts = fc.array(fc.oneof(endpoint.map(formatEndpoint), fc.constantFrom(...bad)))
  fc.assert(
    fc.property(texts, (list) =>
      assert.deepEqual(
        parseEndpoints(list).map(formatEndpoint),
        list.filter((text) => !bad.includes(text)),
      ),
    ),
  )
})

test('no text makes the list throw', () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 80 })), (texts) => void parseEndpoints(texts)))
})

test('an unknown kind is no error, an invalid address is one', () => {
  const known = new Set<string>(endpointKinds)
  const scheme = fc.stringMatching(/^[a-z][a-z0-9+.-]{0,20}$/).filter((name) => !known.has(name) || name === 'direct')
  fc.assert(
    fc.property(scheme, endpoint, (name, one) => {
      const text = `${name}://${placeOf(one).replace('punched://', '')}`
      assert.ok(isOtherKind(text))
      assert.equal(parseEndpoint(text), undefined)
    }),
  )
  assert.throws(() => parseEndpoint('not an address'), { code: 'bad_address' })
})
