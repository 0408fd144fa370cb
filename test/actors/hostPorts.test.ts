import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { canBind, createHostPorts } from '../../actors/containerManager/hostPorts.ts'
import type { AppError } from '../../protocol/errors.ts'

test('no port is allocated twice, if it is bound, or if a container has it, and the search is bounded', async () => {
  const ports = createHostPorts({ first: 40_000, last: 40_009, isFree: async (port) => port !== 40_003 })
  const taken = await Promise.all([
    ports.allocate('a', ['tcp', 'udp', 'tcp']),
    ports.allocate('b', ['tcp', 'tcp'], [40_004]),
    ports.allocate('c', ['udp', 'tcp', 'tcp']),
  ])
  const all = taken.flat()
  assert.equal(new Set(all).size, 8)
  assert.ok(!all.includes(40_003))
  assert.ok(!taken[1]?.includes(40_004))
  await assert.rejects(ports.allocate('d', ['tcp', 'tcp']), (error) => (error as AppError).code === 'ports_exhausted')
  ports.release('a')
  assert.deepEqual((await ports.allocate('d', ['tcp', 'tcp', 'tcp'])).length, 3)
  ports.reserve('e', [40_000])
  assert.deepEqual([ports.has('e'), ports.has('a')], [true, false])
})

test('a port is free only if no process has bound it on any address', async () => {
  for (const host of ['127.0.0.1', '0.0.0.0', '::']) {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, host, resolve))
    const { port } = server.address() as { port: number }
    assert.equal(await canBind(port, 'tcp'), false, host)
    assert.equal(await canBind(port, 'udp'), true, host)
    await new Promise((resolve) => server.close(resolve))
    assert.equal(await canBind(port, 'tcp'), true, host)
  }
})
