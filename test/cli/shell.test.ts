import assert from 'node:assert/strict'
import { test } from 'node:test'
import { openShell } from '../../cli/shell.ts'

test('the exit code of the program, and 128 plus the number of the signal that ended it', async () => {
  assert.equal(await openShell(['-c', 'exit 3'], 'sh'), 3)
  assert.equal(await openShell(['-c', 'exit 0'], 'sh'), 0)
  assert.equal(await openShell(['-c', 'kill -9 $$'], 'sh'), 137)
  assert.equal(await openShell(['-c', 'kill -TERM $$'], 'sh'), 143)
})

test('a missing program names its package', async () => {
  await assert.rejects(openShell([], '/nonexistent/ssh'), { code: 'program_missing', message: /openssh-client/ })
})
