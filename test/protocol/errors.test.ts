import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  AppError,
  type ErrorCode,
  errorKinds,
  exitCodeOf,
  exitCodes,
  fromFailure,
  statusOf,
  toFailure,
} from '../../protocol/errors.ts'

test('every error says what happened and what to do, and has a status and a documented exit code', () => {
  for (const [code, kind] of Object.entries(errorKinds)) {
    assert.match(code, /^[a-z]+(_[a-z]+)*$/)
    assert.ok(kind.status >= 400 && kind.status < 600, code)
    assert.ok(kind.exit in exitCodes, code)
    assert.ok(kind.what.length > 0, code)
    if (code !== 'interrupted') assert.match(kind.todo, /[.?]$|\}$/, code)
  }
})

test('the message of an error contains its details and ends with what to do', () => {
  const error = new AppError('port_busy', { port: 8088 })
  assert.equal(
    error.message,
    'Port 8088 is already in use. Stop the program that uses it, or choose another port with --port.',
  )
  assert.deepEqual([error.code, error.status, error.exit], ['port_busy', 500, 7])
})

test('what to do may depend on the kind of the missing object, or on a detail of the error', () => {
  const message = (details: Record<string, string>) => new AppError('not_found', { id: 'x', ...details }).message
  assert.equal(message({ kind: 'group' }), 'There is no group "x". See `p2prc group ls`.')
  assert.match(message({ kind: 'anything else' }), /`p2prc ls` for machines/)
  assert.equal(
    message({ kind: 'constructor' }),
    message({ kind: 'anything else' }).replace('anything else', 'constructor'),
  )
  assert.equal(message({ kind: 'group', todo: 'Look up.' }), 'There is no group "x". Look up.')
})

test('a failure that crosses a boundary becomes the same error again', () => {
  const error = new AppError('not_found', { kind: 'container', id: '01e5' })
  const back = fromFailure(JSON.parse(JSON.stringify(toFailure(error))))
  assert.deepEqual([back.code, back.message, back.exit], [error.code, error.message, 3])
})

test('an error outside the catalogue becomes internal, and an unknown code keeps its message', () => {
  const cause = new TypeError('x is not a function')
  assert.equal(toFailure(cause).code, 'internal')
  assert.match(toFailure(cause).message, /x is not a function/)
  assert.match(fromFailure({ code: 'from_the_future', message: 'the moon is full' }).message, /the moon is full/)
  for (const code of ['from_the_future', 'constructor', '__proto__']) {
    assert.deepEqual([exitCodeOf(code), statusOf(code), fromFailure({ code, message: 'x' }).code], [1, 500, 'internal'])
  }
  assert.equal(statusOf('not_trusted' satisfies ErrorCode), 403)
})
