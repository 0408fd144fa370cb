import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { followLinks } from '../../actors/ipTable/listening.ts'
import { afterQuery, firstQuery, isQueryNeeded } from '../../actors/ipTable/querySchedule.ts'
import { createBus } from '../../protocol/bus.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { announcement, endpointsIn, isServiceQuery, SERVICE } from '../../protocol/wire/discovery.ts'

const id = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId

test('an announcement names the node once for each address, and the node ignores its own', () => {
  const packet = announcement(id('a'), 8_088, ['10.0.0.1', 'fd00::1', 'not an ip'])
  assert.deepEqual(endpointsIn(packet, id('b')), [
    directEndpoint({ host: '10.0.0.1', port: 8_088 }),
    directEndpoint({ host: 'fd00::1', port: 8_088 }),
  ])
  assert.deepEqual(endpointsIn(packet, id('a')), [])
  assert.deepEqual(endpointsIn(announcement(id('a'), 8_088, ['10.0.0.1'], true), id('b')), [])
  for (const { name } of [...packet.answers, ...packet.additionals]) {
    for (const label of name.split('.')) assert.ok(label.length > 0 && label.length <= 63)
  }
})

test('only queries for nodes are answered', () => {
  assert.ok(
    isServiceQuery([
      { name: 'x', type: 'A' },
      { name: SERVICE.toUpperCase(), type: 'PTR' },
    ]),
  )
  for (const questions of [
    undefined,
    null,
    'x',
    [null, 4, {}],
    [{ name: '_http._tcp.local', type: 'PTR' }],
    [{ name: SERVICE, type: 'A' }],
  ]) {
    assert.ok(!isServiceQuery(questions))
  }
})

test('many nodes on a LAN ask as often as one, ever more rarely, and at most every hour', () => {
  // All hear the queries of the others. The one that is due first asks for all.
  const asking = (nodes: number, untilMs: number) => {
    const schedules = Array.from({ length: nodes }, () => firstQuery)
    const queries: number[] = []
    const receiveAll = (now: number) => {
      queries.push(now)
      for (const [at, schedule] of schedules.entries()) schedules[at] = afterQuery(schedule, now)
    }
    for (let node = 0; node < nodes; node += 1) receiveAll(node * 100)
    for (let now = queries.at(-1) as number; ; ) {
      now = Math.min(...schedules.map(({ askedAt, intervalMs }) => askedAt + intervalMs))
      if (now > untilMs)
        return queries.slice(nodes).map((at, index, rest) => at - (rest[index - 1] ?? (nodes - 1) * 100))
      receiveAll(now)
    }
  }
  const minutes = [1, 2, 4, 8, 16, 32, 60, 60].map((each) => each * 60_000)
  assert.deepEqual(asking(1, 4 * 3_600_000), minutes)
  assert.deepEqual(asking(200, 4 * 3_600_000), minutes)
})

test('a node with links queries once an hour, and one without them whenever it is due', () => {
  const schedule = afterQuery(firstQuery, 0)
  const hour = 3_600_000
  for (const [now, isLinked, expected] of [
    [60_000, true, false],
    [hour - 1, true, false],
    [hour, true, true],
    [60_000, false, true],
  ] as const)
    assert.equal(isQueryNeeded(schedule, now, isLinked), expected, `${now} ms, ${isLinked}`)
  assert.ok(isQueryNeeded(firstQuery, 0, true), 'at the start')
})

test('whether there is a link follows what gossip publishes, also after it crashed', () => {
  const bus = createBus<BusEvent>()
  const { isLinked, stop } = followLinks(bus)
  const opened = (link: string) => bus.publish({ type: 'link.opened', link, id: id('a'), dialled: true, address: '' })
  const closed = (link: string) => bus.publish({ type: 'link.closed', link, id: id('a'), why: 'lost' })
  const steps: [() => void, boolean][] = [
    [() => opened('d1'), true],
    [() => opened('a1'), true],
    [() => closed('d1'), true],
    [() => closed('a1'), false],
    [() => opened('d2'), true],
    [() => bus.publish({ type: 'gossip.started' }), false],
    [() => opened('d3'), true],
  ]
  assert.equal(isLinked(), false)
  for (const [index, [step, expected]] of steps.entries()) {
    step()
    assert.equal(isLinked(), expected, `step ${index}`)
  }
  stop()
  closed('d3')
  assert.equal(isLinked(), true, 'nothing is followed any more')
})

test('malformed answers yield no address, and any answer at most 16', () => {
  const [service] = announcement(id('a'), 8_088, []).additionals
  const target = service?.type === 'SRV' ? service.data.target : ''
  const shapes: unknown[] = [
    undefined,
    null,
    'x',
    [null, 4, 'x', {}, []],
    [{ ...service, data: null }],
    [{ ...service, data: { target, port: 0 } }],
    [{ ...service, data: { target, port: '8088' } }],
    [service, { name: target, type: 'A', ttl: 1, data: { toString: 1 } }],
    [service, { name: target, type: 'A', ttl: 1, data: 'evil.example' }],
    [{ name: '__proto__', type: 'SRV', data: {} }],
  ]
  for (const answers of shapes) assert.deepEqual(endpointsIn({ answers }, id('b')), [])
  const many = Array.from({ length: 60 }, (_, index) => ({ name: target, type: 'A', ttl: 9, data: `10.0.0.${index}` }))
  assert.equal(endpointsIn({ answers: [service, ...many] }, id('b')).length, 16)
})

test('two nodes on a LAN without internet access find each other', async () => {
  const tag = randomBytes(3).toString('hex')
  const [one, two] = [`p2a${tag}`, `p2b${tag}`]
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
  const nodes: ChildProcess[] = []
  try {
    ip('netns', 'add', one)
    ip('netns', 'add', two)
    ip('link', 'add', `va${tag}`, 'netns', one, 'type', 'veth', 'peer', 'name', `vb${tag}`, 'netns', two)
    for (const [space, device, address] of [
      [one, `va${tag}`, '10.77.0.1/24'],
      [two, `vb${tag}`, '10.77.0.2/24'],
    ] as const) {
      ip('-n', space, 'address', 'add', address, 'dev', device)
      ip('-n', space, 'link', 'set', device, 'up')
      ip('-n', space, 'link', 'set', 'lo', 'up')
    }
    const finds = (space: string, letter: string, port: string, wanted: string) =>
      new Promise<void>((resolve, reject) => {
        const fixture = join(import.meta.dirname, '../fixtures/discover.ts')
        const node = spawn('ip', ['netns', 'exec', space, process.execPath, '--import', 'tsx', fixture, letter, port], {
          stdio: ['pipe', 'pipe', 'pipe'],
        })
        nodes.push(node)
        let trouble = ''
        node.stderr.on('data', (chunk) => {
          trouble += chunk
        })
        const timer = setTimeout(() => reject(new Error(`${letter} found nobody: ${trouble}`)), 20_000)
        node.on('exit', () => reject(new Error(`${letter} ended: ${trouble}`)))
        createInterface({ input: node.stdout }).on('line', (line) => {
          if (!line.includes(wanted)) return
          clearTimeout(timer)
          resolve()
        })
      })
    await Promise.all([
      finds(one, 'a', '8088', JSON.stringify(directEndpoint({ host: '10.77.0.2', port: 8_099 }))),
      finds(two, 'b', '8099', JSON.stringify(directEndpoint({ host: '10.77.0.1', port: 8_088 }))),
    ])
  } finally {
    const ended = nodes.map((node) => new Promise((resolve) => node.once('exit', resolve)))
    for (const node of nodes) node.stdin?.end()
    await Promise.all(ended)
    for (const space of [one, two]) {
      try {
        ip('netns', 'delete', space)
      } catch {
        // The namespace was never created.
      }
    }
  }
})
