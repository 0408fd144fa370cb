import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { freePort, p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** The network through the real command line: nodes without an engine on loopback, which `Test` permits. */

const loopback = { Test: true }

/** What P2PRC's JSON says of where each machine is. */
const portsOf = (document: { ip_address: { IPV4: string; ServerPort: string }[] }) =>
  document.ip_address.map(({ IPV4, ServerPort }) => `${IPV4}:${ServerPort}`).sort()

test('add, ls, update: whom a friend knows is known afterwards, in P2PRC’s JSON', async (t) => {
  const [here, friend, other] = await Promise.all([1, 2, 3].map(() => configuredHome(loopback)))
  if (!here || !friend || !other) throw new Error('three homes')
  const [near, far] = [await startNode(t, friend), await startNode(t, other)]
  assert.deepEqual(await p2prcJson(here, 'ls'), { ip_address: [] })
  assert.equal((await p2prc(friend, 'add', far.where)).code, 0)
  // P2PRC's way: the address and its port apart.
  const added = await p2prc(here, '--as', '127.0.0.1', '--Ports', String(near.port))
  assert.deepEqual([added.code, added.stdout], [0, 'Success\n'], added.stderr)
  assert.deepEqual(portsOf(await p2prcJson(here, '--ls')), [near.where])

  const updated = await p2prc(here, '-us')
  assert.equal(updated.code, 0, updated.stderr)
  assert.deepEqual(portsOf(JSON.parse(updated.stdout)), [far.where, near.where].sort())
  assert.match(updated.stderr, new RegExp(`^hop 1: ${near.where}: named \\d`, 'm'))
  assert.match(updated.stderr, new RegExp(`^hop 2: ${far.where}: named`, 'm'))
  const listed = (await p2prcJson(here, 'ls')).ip_address
  for (const entry of listed) {
    assert.equal(typeof entry.Latency, 'number')
    assert.ok(entry.Latency > 0, 'nanoseconds, measured')
    assert.equal(typeof entry.Name, 'string')
    assert.ok(Date.now() - entry.AnsweredAt < 60_000, 'it answered the command before')
  }
  const both = [far.where, near.where].sort()
  assert.deepEqual(portsOf(await p2prcJson(here, 'ls', '--min-cores', '1', '--min-ram', '64M')), both)

  // `--arn` is P2PRC's word for a table of one.
  const root = await p2prc(here, '--arn', '--ip', '127.0.0.1', '--Ports', String(far.port))
  assert.deepEqual([root.code, root.stdout], [0, 'Success\n'], root.stderr)
  assert.deepEqual(portsOf(await p2prcJson(here, '--ls')), [far.where])
})

test('ls: filters and orders through a running node; what is wrong with others', async (t) => {
  const [here, friend] = await Promise.all([1, 2].map(() => configuredHome(loopback)))
  if (!here || !friend) throw new Error('two homes')
  const [, { where }] = [await startNode(t, here), await startNode(t, friend)]
  await p2prcJson(here, 'add', where)
  await p2prcJson(here, 'specs', where)
  await p2prcJson(here, 'update', '--hops', '1')
  const kept = async (...args: string[]) => portsOf(await p2prcJson(here, 'ls', ...args))
  for (const sort of ['near', 'name', 'down', 'up', 'cpu', 'memory', 'gpu', 'load', 'seen'])
    assert.deepEqual(await kept('--sort', sort), [where])
  assert.deepEqual(await kept('--min-ram', '64M', '--min-cores', '1', '--max-latency', '60000'), [where])
  assert.deepEqual(await kept('--min-ram', '900T'), [])
  assert.deepEqual(await kept('--min-cores', '9999'), [])
  const table: [string[], number, RegExp][] = [
    [['ls', '--sort', 'foo'], 2, /no sort key "foo"; the keys are near, name/],
    [['ls', '--sort', '__proto__'], 2, /no sort key/],
    [['ls', '--min-ram', 'lots'], 2, /not an amount of memory/],
    [['ls', '--min-cores', '-1'], 2, /--min-cores must be a whole number/],
    [['update', '--hops', '0'], 2, /--hops must be a whole number from 1 to 16/],
    [['update', '--hops', '1e1'], 2, /--hops must be a whole number/],
    [['add', '127.0.0.1:99999'], 2, /not an address/],
    [['add', '$(touch x)'], 2, /not an address/],
    [['add', '127.0.0.1', '--ports', '0'], 2, /--ports must be a whole number from 1 to 65535/],
    [['--arn', '--Ports', '8090'], 2, /p2prc add <where>/],
    [['add'], 2, /p2prc add <where>/],
    [['speed', where, '--direction', 'down'], 2, /--direction is both, download, upload/],
    [['speed', 'nobody-of-that-name.invalid'], 5, /./],
  ]
  for (const [args, code, message] of table) {
    const ran = await p2prc(here, ...args)
    assert.deepEqual([ran.code, ran.stdout], [code, ''], args.join(' '))
    assert.match(ran.stderr, message)
    assert.match(ran.stderr, /^p2prc: [^\n]+\n$/, 'one line')
  }
})

test('ls --sort: each key gives its own order of different peers, the nearest first where it says nothing', async () => {
  const here = await configuredHome({})
  const table = join(here.P2PRC, 'p2p/iptable/ip_table.json')
  const peers = [
    { Name: 'b', IPV4: '10.0.0.1', Latency: 30_000_000, Download: 10, Upload: 900 },
    { Name: 'c', IPV4: '10.0.0.2', Latency: 20_000_000, Download: 900, Upload: 10 },
    { Name: 'a', IPV4: '10.0.0.3', Latency: 10_000_000, Download: 0, Upload: 90 },
    { Name: 'd', IPV4: '10.0.0.4', Latency: 0, Download: 90, Upload: 0 },
  ]
  mkdirSync(dirname(table), { recursive: true })
  writeFileSync(table, JSON.stringify({ ip_address: peers.map((peer) => ({ ...peer, ServerPort: '8088' })) }))
  const sorted = async (...args: string[]) => {
    const { ip_address: entries } = await p2prcJson(here, 'ls', ...args)
    return entries.map(({ Name }: { Name: string }) => Name).join('')
  }
  const orders = { near: 'acbd', name: 'abcd', down: 'cdba', up: 'bacd' }
  assert.equal(await sorted(), orders.near)
  for (const [key, order] of Object.entries(orders)) assert.equal(await sorted('--sort', key), order, key)
  // Nothing is known of their hardware, nor have they answered.
  for (const key of ['cpu', 'memory', 'gpu', 'load', 'seen'])
    assert.equal(await sorted('--sort', key), orders.near, key)
})

test('one that is not there costs its own line and nothing else', async () => {
  const here = await configuredHome(loopback)
  const nobody = `127.0.0.1:${await freePort()}`
  await p2prcJson(here, 'add', nobody)
  const { code, stderr } = await p2prc(here, 'update')
  assert.equal(code, 0)
  assert.match(stderr, new RegExp(`^hop 1: ${nobody} cannot be reached`, 'm'))
})

test('ls --watch: an object for each change, until Ctrl-C; only with a node', async (t) => {
  const [here, friend] = await Promise.all([1, 2].map(() => configuredHome(loopback)))
  if (!here || !friend) throw new Error('two homes')
  assert.match((await p2prc(here, 'ls', '--watch')).stderr, /No node runs with this home folder/)
  const [, { where }] = [await startNode(t, here), await startNode(t, friend)]
  const watching = launched(t, here, 'ls', '--watch', '--json')
  await watching.printed(/^\{"ip_address":\[\]\}\n/)
  await p2prcJson(here, 'add', where)
  await watching.printed(new RegExp(`"ServerPort":"${where.split(':')[1]}"`))
  watching.child.kill('SIGINT')
  assert.equal(await watching.ended, 130)
  for (const line of watching.text
    .trim()
    .split('\n')
    .filter((line) => line.startsWith('{')))
    JSON.parse(line)
})

test('group create --nearest asks those that answer, and says what they said', async (t) => {
  const [here, friend] = await Promise.all([1, 2].map(() => configuredHome(loopback)))
  if (!here || !friend) throw new Error('two homes')
  const { where } = await startNode(t, friend)
  await p2prcJson(here, 'add', where)
  const { key, id } = await p2prcJson(here, 'id')
  assert.ok(id)
  const untrusted = await p2prc(here, 'group', 'create', '--nearest', '1')
  assert.equal(untrusted.code, 4, untrusted.stderr)
  assert.match(untrusted.stderr, /p2prc trust add/)
  await p2prcJson(friend, 'trust', 'add', key)
  const bare = await p2prc(here, 'group', 'create', '--nearest', '1')
  assert.equal(bare.code, 6, bare.stderr)
  assert.match(bare.stderr, /No container engine answers/)
  const few = await p2prc(here, 'group', 'create', '--nearest', '2')
  assert.equal(few.code, 3)
  assert.match(few.stderr, /Only 1 of the 2 requested machines answer/)
  assert.deepEqual(await p2prcJson(here, 'group', 'ls'), { Groups: [] })
})

test('speed: refused without the other side’s word, measured with it', async (t) => {
  const [here, friend] = await Promise.all([1, 2].map(() => configuredHome(loopback)))
  if (!here || !friend) throw new Error('two homes')
  const { where } = await startNode(t, friend)
  const refused = await p2prc(here, 'speed', where, '--direction', 'download')
  assert.deepEqual([refused.code, refused.stdout], [4, ''], refused.stderr)
  const { key } = await p2prcJson(here, 'id')
  await p2prcJson(friend, 'trust', 'add', key)
  const measured = await p2prc(here, 'speed', where, '--direction', 'download')
  assert.equal(measured.code, 0, measured.stderr)
  const { download, upload, latencyNs, endpoint } = JSON.parse(measured.stdout)
  assert.ok(download > 0 && latencyNs > 0)
  assert.deepEqual([upload, `${endpoint.host}:${endpoint.port}`], [null, where])
  assert.match(measured.stderr, /^download: /m)
})
