import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { JSON_MAX_DEPTH } from '../../protocol/defaults/listeners.ts'
import { readJson } from '../../protocol/json.ts'

const nested = (depth: number, inside = '') => '['.repeat(depth) + inside + ']'.repeat(depth)

test('the limit of the depth is exact, and brackets within strings do not count', () => {
  assert.ok(readJson(nested(JSON_MAX_DEPTH)))
  assert.throws(() => readJson(nested(JSON_MAX_DEPTH + 1)), { code: 'bad_request', message: /deeper than 32/ })
  assert.deepEqual(readJson(`["${'['.repeat(1_000)}"]`), ['['.repeat(1_000)])
})

test('an escaped quote or backslash does not hide the brackets behind it', () => {
  for (const text of ['"\\""', '"\\\\"', '"\\\\\\""', '"a\\"b\\\\"', '{"\\"":1}'])
    assert.throws(() => readJson(`[${text},${nested(JSON_MAX_DEPTH)}]`), { message: /deeper than 32/ }, text)
  for (const text of ['"\\"["', '"\\\\[["', '"[\\\\\\"["'])
    assert.ok(readJson(`[${text},${nested(JSON_MAX_DEPTH - 1)}]`))
})

test('any document reads as JSON.parse reads it, as long as it is not too deep', () => {
  const depthOf = (value: unknown): number =>
    typeof value === 'object' && value !== null ? 1 + Math.max(0, ...Object.values(value).map(depthOf)) : 0
  fc.assert(
    fc.property(fc.json(), fc.nat({ max: JSON_MAX_DEPTH + 2 }), (inside, depth) => {
      const text = nested(depth, inside)
      if (text.includes('__proto__')) return
      if (depthOf(JSON.parse(text)) > JSON_MAX_DEPTH) assert.throws(() => readJson(text), { code: 'bad_request' })
      else assert.deepEqual(readJson(text), JSON.parse(text))
    }),
  )
})
