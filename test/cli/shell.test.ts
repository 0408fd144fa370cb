import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { test } from 'node:test'
import { openShell, shellArgs } from '../../cli/shell.ts'

test('the exit code of the program, and 128 plus the number of the signal that ended it', async () => {
  assert.equal(await openShell(['-c', 'exit 3'], 'sh'), 3)
  assert.equal(await openShell(['-c', 'exit 0'], 'sh'), 0)
  assert.equal(await openShell(['-c', 'kill -9 $$'], 'sh'), 137)
  assert.equal(await openShell(['-c', 'kill -TERM $$'], 'sh'), 143)
})

test('a missing program names its package', async () => {
  await assert.rejects(openShell([], '/nonexistent/ssh'), { code: 'program_missing', message: /openssh-client/ })
})

test('a lender that accepts the connection and stays silent is given up after 10 s', { timeout: 20_000 }, async (t) => {
  assert.deepEqual(shellArgs(['-p', '22', 'root@h'], ['id']), ['-o', 'ConnectTimeout=10', '-p', '22', 'root@h', 'id'])
  const silent = createServer((socket) => socket.on('error', () => {})).listen(0, '127.0.0.1')
  t.after(() => silent.close())
  await once(silent, 'listening')
  const { port } = silent.address() as AddressInfo
  // ssh ends by the same option with a limit of 1 s.
  const [option, limit, ...rest] = shellArgs(['-F', 'none', '-p', String(port), 'root@127.0.0.1'], ['id'])
  assert.equal(await openShell([option as string, (limit as string).replace('=10', '=1'), ...rest]), 255)
})
