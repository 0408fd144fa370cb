import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  directEndpoint,
  formatEndpoint,
  isSameEndpoint,
  parseEndpoint,
  parseEndpoints,
} from '../../../protocol/net/endpoint.ts'

const port = fc.integer({ min: 1, max: 65_535 })
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6(),
  fc.domain().filter((name) => name.length <= 50),
)
const endpoint = fc.record({ host, port }).map(directEndpoint)

test('the text of an endpoint parses to the same endpoint', () => {
  fc.assert(fc.property(endpoint, (one) => assert.deepEqual(parseEndpoint(formatEndpoint(one)), one)))
})

test('two endpoints are the same if and only if their texts are', () => {
  const pairs = fc.oneof(
    fc.tuple(endpoint, endpoint),
    endpoint.map((one) => [one, { ...one }] as const),
  )
  fc.assert(
    fc.property(pairs, ([one, other]) =>
      assert.equal(isSameEndpoint(one, other), formatEndpoint(one) === formatEndpoint(other)),
    ),
  )
})

test('a list skips what is invalid or of an unknown kind, and keeps the rest in order', () => {
  const bad = ['', ':', '[::', 'a b:1', '1.2.3.4:99999', 'relayed://relay.example:7000/4711', 'punched://x']
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
  assert.equal(parseEndpoint('relayed://relay.example:7000'), undefined)
  assert.throws(() => parseEndpoint('not an address'), { code: 'bad_address' })
})
