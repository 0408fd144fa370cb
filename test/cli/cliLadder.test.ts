import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { pathText } from '../../cli/pathCommand.ts'
import { AppError } from '../../protocol/errors.ts'
import { nodeIdOf } from '../machines/samples/common.ts'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { findingsOf, freePort, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** Which way is in use to a machine, and what is broken, through the real command line and between real nodes. */

const loopback = { Test: true }

const hasHyperdht = existsSync(join(import.meta.dirname, '../../node_modules/hyperdht'))

test('path: the last dial that succeeded is what counts; a better rung is used as soon as it answers, and said why not before', async (t) => {
  const [here, friend] = [await configuredHome(loopback), await configuredHome(loopback)]
  await startNode(t, here)
  const port = String(await freePort())
  const startFriend = async (...args: string[]) => {
    const node = launched(t, friend, 'start', '--port', port, ...args)
    await node.printed(/listens on/)
    return node
  }
  const { id } = await p2prcJson(friend, 'id')
  const pathNow = async () => {
    await p2prcJson(here, 'update', '--hops', '1')
    return p2prcJson(here, 'path', id)
  }

  await startFriend('--host', '127.0.0.1')
  await p2prcJson(here, 'add', `127.0.0.1:${port}`)
  const first = await pathNow()
  assert.deepEqual([first.id, first.path.rung, first.path.endpoint.host], [id, 'direct IPv4', '127.0.0.1'])
  assert.ok(Math.abs(Date.now() - first.path.since) < 60_000)
  assert.deepEqual(first.better, [{ rung: 'direct IPv6', state: 'notOffered' }])
  assert.deepEqual((await pathNow()).path, first.path, 'it is in use since then')
  await p2prcJson(friend, 'stop')

  await startFriend()
  await p2prcJson(here, 'add', `[::1]:${port}`)
  const second = await pathNow()
  assert.deepEqual([second.path.rung, second.path.endpoint.host, second.better], ['direct IPv6', '::1', []])
  assert.ok(second.path.since > first.path.since)
  await p2prcJson(friend, 'stop')

  await startFriend('--host', '127.0.0.1')
  const third = await pathNow()
  assert.equal(third.path.rung, 'direct IPv4')
  const [six] = third.better
  assert.deepEqual(
    [six.rung, six.state, six.endpoint.host, six.why.code],
    ['direct IPv6', 'failed', '::1', 'unreachable'],
  )
  assert.ok(six.at > second.path.since)

  const unknown = await p2prc(here, 'path', 'nobody')
  assert.deepEqual([unknown.code, unknown.stdout], [3, ''], unknown.stderr)
})

test('path: what it says of each rung', () => {
  const [endpoint, other] = [
    { kind: 'relayed', host: '203.0.113.4', port: 20_000 },
    { kind: 'direct', host: '203.0.113.1', port: 8_088 },
  ] as const
  const why = new AppError('unreachable', { where: '203.0.113.1:8088', why: 'connect ECONNREFUSED' }).toJSON()
  const plain = (_: string, text: string) => text
  const shown = { id: nodeIdOf('a'), name: 'anna', linked: true }
  const text = pathText(
    {
      ...shown,
      path: { endpoint, since: 0, rung: 'relayed' },
      better: [
        { rung: 'direct IPv6', state: 'impossible', why: new AppError('family_missing').toJSON() },
        { rung: 'direct IPv4', state: 'failed', endpoint: other, at: 108_000, why },
        { rung: 'mapped', state: 'notOffered' },
        { rung: 'punched', state: 'untried', endpoint: { ...endpoint, kind: 'punched' } },
      ],
    },
    plain,
    120_000,
  )
  assert.deepEqual(text.split('\n'), [
    `Machine      anna ${shown.id}`,
    'In use       relayed at relayed://203.0.113.4:20000 for 2 min',
    'direct IPv6  not possible here: This machine has no IPv6 address that others reach',
    'direct IPv4  tried at 203.0.113.1:8088 12 s ago: 203.0.113.1:8088 cannot be reached: connect ECONNREFUSED',
    'mapped       not offered by the machine',
    'punched      offered at punched://203.0.113.4:20000, not tried yet',
  ])
  assert.match(pathText({ ...shown, better: [] }, plain), /In use {3}the link that it has opened to this machine/)
})

test('doctor: what is broken first and what to do, the ways to a peer and back, and the clock; as JSON, and by its exit code', async (t) => {
  const [here, friend] = [await configuredHome(loopback), await configuredHome(loopback)]
  const own = await startNode(t, here)
  const other = await startNode(t, friend)
  await p2prcJson(here, 'add', other.where)
  await p2prcJson(here, 'update', '--hops', '1')
  const { code, stderr, document, findings, progress, of } = await findingsOf(here, other.where)
  assert.deepEqual([code, stderr, document.well, document.broken], [1, '', false, 'engine'])
  assert.deepEqual(
    findings.map(({ check }) => check),
    [
      ...['disk', 'engine', 'image', 'DNS', 'clock', 'port', 'firewall', 'router', 'punching', 'relay'],
      ...[`to ${other.where}, direct IPv4`, `from ${other.where}`, `router of ${other.where}`],
    ],
  )
  assert.deepEqual(
    progress.map(({ step }) => step),
    findings.map(({ check }) => check),
  )
  assert.match(of('engine')?.remedy ?? '', /^Install and start one there/)
  assert.deepEqual([of('image')?.state, of('disk')?.state], ['unknown', 'ok'])
  assert.match(of('clock')?.what ?? '', /agrees with that of a peer/)
  assert.equal(/not installed/.test(of('punching')?.what ?? ''), !hasHyperdht)
  assert.equal(of('port')?.what, `This node listens and answers at ${own.where}`)
  assert.match(
    of(`to ${other.where}, direct IPv4`)?.what ?? '',
    new RegExp(`^It answers at ${other.where} in \\d+ ms$`),
  )
  assert.equal(of(`from ${other.where}`)?.what, `It reaches this node at ${own.where}`)

  await other.stop()
  const gone = await findingsOf(here, other.where)
  const to = gone.of(`to ${other.where}, direct IPv4`)
  assert.deepEqual(
    [to?.state, to?.remedy],
    ['broken', 'Is the node running there (`p2prc start`), and is the port open?'],
  )
})

test('doctor without a node: it says so, and who holds the port', async (t) => {
  const holder = createServer().listen(0)
  t.after(() => holder.close())
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  const taken = await findingsOf(await configuredHome({ ...loopback, ServerPort: String(port) }))
  assert.equal(taken.code, 1)
  const held = new RegExp(`^No node runs on this home, and port ${port} is held by process ${process.pid} \\(.+\\)$`)
  assert.match(taken.of('port')?.what ?? '', held)
  const home = await configuredHome({ ...loopback, ServerPort: String(await freePort()) })
  await p2prcJson(home, 'add', 'no-such-machine.invalid:8088')
  const free = await findingsOf(home)
  assert.deepEqual(
    [free.of('port')?.what, free.of('port')?.remedy],
    ['No node runs on this home', 'Start one with `p2prc start`.'],
  )
  assert.equal(free.of('firewall')?.state, 'unknown')
  assert.equal(free.of('DNS')?.what, 'No name server finds no-such-machine.invalid')
})
