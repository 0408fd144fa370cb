import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { test } from 'node:test'
import { createActor, fromCallback, fromPromise, SimulatedClock } from 'xstate'
import { canBind, createGuestPorts } from '../actors/containerManager/guestPorts.ts'
import { containerMachine } from '../machines/container.ts'
import type {
  Found,
  LinkSays,
  LogsInput,
  LogsSay,
  Made,
  Plan,
  Prepared,
  Wish,
} from '../machines/containerManager/guest.ts'
import { imageShelfMachine } from '../machines/containerManager/imageShelf.ts'
import { containerManagerMachine } from '../machines/containerManager.ts'
import { type GuestImage, imageMachine } from '../machines/image.ts'
import type {
  ContainerManagerCommand,
  ContainerManagerSays,
  ContainerReply,
  Port,
} from '../protocol/containerManager.ts'
import { ENGINE_RETRY_MS } from '../protocol/defaults.ts'
import { Fault } from '../protocol/errors.ts'
import type { Caller, ContainerId, NodeId } from '../protocol/ids.ts'
import { Secret } from '../protocol/secret.ts'
import { turn } from './harness.ts'
import { commandOf } from './lender.ts'

/** The manager over an engine of the imagination: every effect answers at once, `hold` keeps a guest's start open. */
async function manager({ maxContainers = 4, background = true, found = [] as Found[] } = {}) {
  const said: ContainerManagerSays[] = []
  const did: string[] = []
  let tell: (event: LinkSays) => void = () => {}
  let logs: (event: LogsSay) => void = () => {}
  let starting: (() => void) | undefined
  let links = 0
  let made = 0
  let holding = false
  const container = containerMachine.provide({
    actors: {
      prepare: fromPromise<Prepared, Wish>(async ({ input }) => {
        if (input.key === 'bad') throw new Fault('bad_key', { why: 'test' })
        made += 1
        return { slug: `p2prc-${made}`, publicKey: input.key, hostKey: { private: new Secret('s'), public: 'h' } }
      }),
      choosePorts: fromPromise<Port[], { slug: string; wish: Wish; image: GuestImage }>(async () => []),
      create: fromPromise<Made, Plan>(async ({ input: { prepared, image } }) => {
        did.push(`create ${prepared.slug}`)
        return madeOf(prepared.slug, image.tag)
      }),
      fill: fromPromise<void, { id: ContainerId; prepared: Prepared }>(async () => {}),
      start: fromPromise<void, { id: ContainerId; slug: string }>(async () => {
        if (holding)
          await new Promise<void>((resolve) => {
            starting = resolve
          })
      }),
      settle: fromPromise<ContainerReply, { slug: string; made: Made }>(async ({ input }) => input.made.reply),
      answer: fromPromise<ContainerReply, { made: Made }>(async ({ input }) => input.made.reply),
      remove: fromPromise<void, { slug: string; id: ContainerId | null }>(async ({ input }) => {
        did.push(`remove ${input.slug}`)
      }),
    },
  })
  const image = imageMachine.provide({
    actors: {
      inspect: fromPromise<GuestImage, { name: string }>(async ({ input: { name } }) => {
        if (name === 'none') throw new Fault('bad_image', { image: name })
        return { name, tag: `p2prc/${name}:1`, digest: '1', ports: [], built: true }
      }),
      collect: fromPromise<void, { image: GuestImage }>(async () => {}),
    },
  })
  const machine = containerManagerMachine.provide({
    actors: {
      container,
      shelf: imageShelfMachine.provide({ actors: { image } }),
      link: fromCallback<LinkSays>(({ sendBack }) => {
        links += 1
        tell = sendBack
      }),
      readLogs: fromCallback<LogsSay, LogsInput>(({ sendBack, input }) => {
        did.push(`logs ${input.id.slice(0, 4)}`)
        logs = sendBack
        return () => void did.push('logs stopped')
      }),
    },
  })
  const clock = new SimulatedClock()
  const actor = createActor(machine, { input: { maxContainers, defaultImage: 'ssh', background }, clock })
  actor.on('*', (fact) => said.push(fact))
  actor.start()
  const settled = async () => {
    for (let turns = 0; turns < 40; turns += 1) await turn()
  }
  const one = {
    said,
    did,
    actor,
    clock,
    settled,
    hold: () => {
      holding = true
    },
    release: () => {
      holding = false
      starting?.()
    },
    links: () => links,
    link: (event: LinkSays) => tell(event),
    logs: (event: LogsSay) => logs(event),
    send(event: ContainerManagerCommand) {
      actor.send(event)
      return settled()
    },
    /** What was said about a request, shortly. */
    about: (requestId: string) =>
      said
        .filter((fact) => 'requestId' in fact && fact.requestId === requestId && !fact.type.endsWith('progress'))
        .map((fact) => ('code' in fact ? `${fact.type} ${fact.code}` : fact.type)),
  }
  if (background) {
    tell({ type: 'link.ready', version: '1', found })
    await settled()
  }
  return one
}

function madeOf(slug: string, tag = 'p2prc/ssh:1'): Made {
  const id = slug.replace('p2prc-', '').padEnd(64, '0') as ContainerId
  return {
    id,
    createdAt: 1,
    reply: { ID: id, TagName: tag, Ports: { Port: [] as Port[] }, GPU: 'false' } as unknown as ContainerReply,
  }
}

function foundOf(slug: string, more: Partial<Found> = {}): Found {
  return { ...madeOf(slug), slug, caller: 'owner', requestId: slug, whole: true, running: true, ...more }
}

const alice = 'SHA256:alice' as NodeId
const create = (requestId: string, caller: Caller = 'owner', more = {}) =>
  commandOf('container.create', { requestId, caller, ...more })

test('a create is answered once; the same request again gives the same container', async () => {
  const lender = await manager()
  await lender.send(create('r1'))
  assert.deepEqual(lender.about('r1'), ['container.created'])
  await lender.send(create('r1'))
  assert.deepEqual(lender.about('r1'), ['container.created', 'container.created'])
  await lender.send(create('r1', alice))
  assert.deepEqual(
    lender.did,
    ['create p2prc-1', 'create p2prc-2'],
    'the same request of another caller is another wish',
  )
})

test('a create is abandoned only when nobody waits for it any more', async () => {
  const lender = await manager()
  lender.hold()
  await lender.send(create('r1'))
  await lender.send(create('r1'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r1' })
  lender.release()
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
  lender.hold()
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  lender.release()
  await lender.settled()
  assert.deepEqual(lender.about('r2'), ['container.createFailed abandoned'])
  assert.deepEqual(lender.did.slice(-2), ['create p2prc-2', 'remove p2prc-2'])
  // Whoever asks again later gets a new one, and a connection that closes afterwards takes nothing back.
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  await lender.settled()
  assert.deepEqual(lender.about('r2').at(-1), 'container.created')
  assert.equal(lender.did.at(-1), 'create p2prc-3')
})

test('refusals: a bad key, an image that is none, more containers than the limit', async () => {
  const lender = await manager({ maxContainers: 1 })
  await lender.send(create('r1', 'owner', { key: 'bad' }))
  await lender.send(create('r2', 'owner', { image: 'none' }))
  await lender.send(create('r3'))
  await lender.send(create('r4'))
  assert.deepEqual(
    ['r1', 'r2', 'r3', 'r4'].flatMap((id) => lender.about(id)),
    [
      'container.createFailed bad_key',
      'container.createFailed bad_image',
      'container.created',
      'container.createFailed limit_reached',
    ],
  )
})

test('a caller sees, reads and removes only what is its own; the owner everything', async () => {
  const lender = await manager({
    found: [foundOf('p2prc-a1', { caller: alice }), foundOf('p2prc-a2', { caller: 'stranger' }), foundOf('p2prc-b1')],
  })
  const list = async (caller: Caller) => {
    await lender.send(commandOf('container.list', { requestId: `l ${caller}`, caller }))
    const listed = lender.said.find((fact) => fact.type === 'container.listed' && fact.requestId === `l ${caller}`)
    return listed?.type === 'container.listed' ? listed.containers.map(({ id }) => id.slice(0, 2)) : undefined
  }
  assert.deepEqual(await list('owner'), ['a1', 'a2', 'b1'])
  assert.deepEqual(await list(alice), ['a1'])
  assert.deepEqual(await list('stranger'), ['a2'])
  assert.deepEqual(await list('SHA256:bob' as NodeId), [])
  const table: [Caller, string, string][] = [
    ['owner', 'a', 'container.removeFailed ambiguous'],
    ['owner', 'c', 'container.removeFailed not_found'],
    [alice, 'a2', 'container.removeFailed not_found'],
    [alice, 'b', 'container.removeFailed not_found'],
    [alice, 'a', 'container.removed'],
    [alice, 'a', 'container.removed'],
    ['stranger', 'a1', 'container.removeFailed not_found'],
    ['owner', 'a1', 'container.removed'],
    ['owner', 'a', 'container.removed'],
  ]
  for (const [index, [caller, id, answer]] of table.entries()) {
    await lender.send(commandOf('container.remove', { requestId: `x${index}`, caller, id }))
    assert.deepEqual(lender.about(`x${index}`), [answer], `${caller} ${id}`)
  }
  assert.deepEqual(lender.did, ['remove p2prc-a1', 'remove p2prc-a2'])
  await lender.send(commandOf('container.logs', { requestId: 'g1', caller: alice, id: 'b1' }))
  await lender.send(commandOf('container.logs', { requestId: 'g2', caller: alice, id: 'a1' }))
  assert.deepEqual(lender.about('g1'), ['container.logsFailed not_found'])
  assert.deepEqual(lender.about('g2'), ['container.logsFailed not_found'])
})

test('two removals at the same time are both answered by one', async () => {
  const lender = await manager({ found: [foundOf('p2prc-a1')] })
  lender.actor.send(commandOf('container.remove', { requestId: 'x1', id: 'a1' }))
  lender.actor.send(commandOf('container.remove', { requestId: 'x2', id: 'a1' }))
  await lender.settled()
  assert.deepEqual([...lender.about('x1'), ...lender.about('x2')], ['container.removed', 'container.removed'])
  assert.deepEqual(lender.did, ['remove p2prc-a1'])
})

test('what happens to a container by itself is told; what was asked for is not told twice', async () => {
  const lender = await manager({ found: [foundOf('p2prc-a1'), foundOf('p2prc-b1', { running: false })] })
  const changes = () =>
    lender.said.flatMap((fact) => (fact.type === 'container.changed' ? [`${fact.id.slice(0, 2)} ${fact.state}`] : []))
  assert.deepEqual(changes(), [])
  lender.link({ type: 'link.changed', slug: 'p2prc-a1', change: 'stopped' })
  lender.link({ type: 'link.changed', slug: 'p2prc-b1', change: 'running' })
  lender.link({ type: 'link.changed', slug: 'p2prc-zz', change: 'gone' })
  lender.link({ type: 'link.changed', slug: 'p2prc-a1', change: 'gone' })
  await lender.settled()
  assert.deepEqual(changes(), ['a1 stopped', 'b1 running', 'a1 gone'])
  await lender.send(commandOf('container.remove', { requestId: 'x1', id: 'b1' }))
  lender.link({ type: 'link.changed', slug: 'p2prc-b1', change: 'gone' })
  await lender.settled()
  assert.equal(changes().length, 3)
})

test('an engine that is lost: told once, commands refused at once, tried again, then all is looked at anew', async () => {
  const lender = await manager({ found: [foundOf('p2prc-a1'), foundOf('p2prc-b1')] })
  lender.link({ type: 'link.lost', failure: new Fault('engine_missing', { why: 'cut' }).toJSON() })
  await lender.send(create('r1'))
  await lender.send(commandOf('container.list', { requestId: 'l1' }))
  await lender.send(commandOf('image.build', { requestId: 'b1' }))
  assert.deepEqual(
    ['r1', 'l1', 'b1'].flatMap((id) => lender.about(id)),
    [
      'container.createFailed engine_missing',
      'container.listFailed engine_missing',
      'image.buildFailed engine_missing',
    ],
  )
  for (let rounds = 0; rounds < 3; rounds += 1) {
    lender.clock.increment(ENGINE_RETRY_MS)
    await lender.send(create(`again${rounds}`))
    assert.deepEqual(lender.about(`again${rounds}`), ['container.createFailed engine_missing'])
    lender.link({ type: 'link.lost', failure: new Fault('engine_missing', { why: 'cut' }).toJSON() })
  }
  assert.equal(lender.links(), 4)
  assert.equal(lender.said.filter(({ type }) => type === 'engine.lost').length, 1)
  lender.clock.increment(ENGINE_RETRY_MS)
  const half = foundOf('p2prc-c1', { whole: false, running: false })
  lender.link({ type: 'link.ready', version: '2', found: [foundOf('p2prc-a1', { running: false }), half] })
  await lender.settled()
  assert.deepEqual(lender.did.sort(), ['remove p2prc-b1', 'remove p2prc-c1'])
  assert.deepEqual(lender.said.flatMap((fact) => (fact.type === 'container.changed' ? [fact.state] : [])).sort(), [
    'gone',
    'stopped',
  ])
  assert.equal(lender.said.filter(({ type }) => type === 'engine.connected').length, 2)
})

test('commands that come before the first answer wait for it', async () => {
  const lender = await manager({ background: false })
  assert.equal(lender.links(), 0, 'without a node nothing is begun')
  await lender.send(create('r1'))
  await lender.send(create('r2'))
  lender.actor.send({ type: 'request.abandoned', requestId: 'r2' })
  assert.deepEqual([lender.links(), lender.about('r1')], [1, []])
  lender.link({ type: 'link.ready', version: '1', found: [] })
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
  assert.deepEqual(lender.about('r2'), [])
  const hopeless = await manager({ background: false })
  await hopeless.send(create('r1'))
  hopeless.link({ type: 'link.lost', failure: new Fault('engine_missing', { why: 'none' }).toJSON() })
  await hopeless.settled()
  assert.deepEqual(hopeless.about('r1'), ['container.createFailed engine_missing'])
})

test('a half-made container that appears late is taken back, unless it is one under way', async () => {
  const lender = await manager()
  lender.hold()
  await lender.send(create('r1'))
  lender.link({ type: 'link.made', found: foundOf('p2prc-1', { whole: false, running: false }) })
  lender.link({ type: 'link.made', found: foundOf('p2prc-stray', { whole: false, running: false }) })
  await lender.settled()
  assert.deepEqual(lender.did, ['create p2prc-1', 'remove p2prc-stray'])
  lender.release()
  await lender.settled()
  assert.deepEqual(lender.about('r1'), ['container.created'])
})

test('logs reach who asked, and end when told, when abandoned, or when they fail', async () => {
  const lender = await manager({ found: [foundOf('p2prc-a1')] })
  const read = (requestId: string) => lender.send(commandOf('container.logs', { requestId, id: 'a1', follow: true }))
  await read('g1')
  await read('g1')
  lender.logs({ type: 'logs.line', requestId: 'g1', stream: 'stdout', line: 'hello' })
  lender.logs({ type: 'logs.ended', requestId: 'g1' })
  assert.deepEqual(lender.about('g1'), ['container.logged', 'container.logsEnded'])
  await read('g2')
  lender.actor.send({ type: 'request.abandoned', requestId: 'g2' })
  await read('g3')
  lender.logs({ type: 'logs.failed', requestId: 'g3', failure: new Fault('engine_missing', { why: 'x' }).toJSON() })
  assert.deepEqual(lender.about('g3'), ['container.logsFailed engine_missing'])
  assert.deepEqual(lender.did.filter((what) => what === 'logs stopped').length, 3)
  // A request may be named like anything, also like a child of the machine.
  for (const requestId of ['link', 'shelf', 'guest 0']) lender.actor.send({ type: 'request.abandoned', requestId })
  await lender.send(commandOf('container.list', { requestId: 'l1' }))
  assert.deepEqual(lender.about('l1'), ['container.listed'])
  assert.deepEqual(Object.keys(lender.actor.getSnapshot().children).sort(), ['guest 0', 'link', 'shelf'])
})

test('ports: none twice, none that is bound, none that a guest holds, and an end to the search', async () => {
  const ports = createGuestPorts({ first: 40_000, last: 40_009, isFree: async (port) => port !== 40_003 })
  const taken = await Promise.all([
    ports.take('a', ['tcp', 'udp', 'tcp']),
    ports.take('b', ['tcp', 'tcp'], [40_004]),
    ports.take('c', ['udp', 'tcp', 'tcp']),
  ])
  const all = taken.flat()
  assert.equal(new Set(all).size, 8)
  assert.ok(!all.includes(40_003))
  assert.ok(!taken[1]?.includes(40_004))
  await assert.rejects(ports.take('d', ['tcp', 'tcp']), (error) => (error as Fault).code === 'ports_exhausted')
  ports.free('a')
  assert.deepEqual((await ports.take('d', ['tcp', 'tcp', 'tcp'])).length, 3)
  ports.hold('e', [40_000])
  assert.deepEqual([ports.has('e'), ports.has('a')], [true, false])
})

test('a port is free only where nobody has bound it, on any address', async () => {
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
