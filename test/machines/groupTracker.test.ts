import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type EventFrom, initialTransition, transition } from 'xstate'
import { groupTrackerMachine } from '../../machines/groupTracker.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { atEndpoint } from '../../protocol/loanRecord.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { Secret } from '../../protocol/secret.ts'
import { type FactOf, openFakeBorrower, refusal, takeCommand } from '../support/fakeBorrower.ts'
import { type FakeLender, HOST_KEY, idOf, replyOf } from '../support/fakeLender.ts'
import { nextEvent } from '../support/harness.ts'

test('chart: each request has one child, a repeated one no second; Ctrl-C stops a request and notifies a take', () => {
  const find = { type: 'loan.find', requestId: 'f', caller: 'owner', id: '0' } as const
  const returned = { type: 'loan.returned', requestId: 'f', id: idOf(1) } as const
  const ended = { type: 'child.ended', requestId: 'f', fact: returned } as const
  const abandoned = (requestId: string) => ({ type: 'request.abandoned', requestId }) as const
  const rows: [EventFrom<typeof groupTrackerMachine>[], string[], Record<string, string>][] = [
    [[find], ['xstate.spawnChild'], { f: 'executing' }],
    [[find, find], [], { f: 'executing' }],
    [[find, { type: 'child.emitted', fact: returned }], ['xstate.emit'], { f: 'executing' }],
    [[find, ended], ['xstate.emit', 'xstate.stopChild'], {}],
    [[find, abandoned('f')], ['xstate.stopChild'], {}],
    [[find, abandoned('x')], [], { f: 'executing' }],
    [[takeCommand('t')], ['xstate.spawnChild'], { t: 'taking' }],
    [[takeCommand('t'), takeCommand('t')], [], { t: 'taking' }],
    [[takeCommand('t'), abandoned('t')], ['xstate.sendTo'], { t: 'rollingBack' }],
    [[takeCommand('t'), abandoned('t'), abandoned('t')], [], { t: 'rollingBack' }],
    [[takeCommand('t'), takeCommand('t'), abandoned('t')], [], { t: 'taking' }],
    [[find, find, abandoned('f')], [], { f: 'executing' }],
    [[find, find, abandoned('f'), abandoned('f')], ['xstate.stopChild'], {}],
  ]
  for (const [events, acts, underWay] of rows) {
    let [snapshot, actions] = initialTransition(groupTrackerMachine)
    for (const event of events) [snapshot, actions] = transition(groupTrackerMachine, snapshot, event)
    const done = actions.map(({ type }) => type)
    const phases = Object.fromEntries(snapshot.context.requests.map(({ requestId, phase }) => [requestId, phase]))
    assert.deepEqual([done, phases], [acts, underWay], events.map(({ type }) => type).join(' '))
  }
})

test('take: uses the own key by default, reports progress, stores the record in P2PRC’s form, pins the host key', async (context) => {
  const { send, lender, identity, events, read, path } = await openFakeBorrower(context)
  const { loan } = (await send('loan.take', { where: lender.address, ports: 2 })) as FactOf<'loan.taken'>
  const create = lender.events.find((event) => event.type === 'container.create')
  assert.ok(create)
  assert.deepEqual([create.key, create.ports, create.requestId], [identity.publicKey, 2, `${identity.id} r1`])
  assert.deepEqual(
    events.filter(({ type }) => type.startsWith('loan.')).map((event) => [event.type, 'step' in event && event.step]),
    [
      ['loan.changed', false],
      ['loan.take', false],
      ['loan.progress', 'create'],
      ['loan.progress', 'start'],
      ['loan.changed', false],
      ['loan.taken', false],
    ],
  )
  const known = path('known hosts')
  assert.equal(
    loan.Container.SSHCommand,
    `ssh -i '${path('key')}' -o IdentitiesOnly=yes -p 20001 -o 'UserKnownHostsFile="${known}"' -o StrictHostKeyChecking=yes root@127.0.0.1`,
  )
  assert.equal(await read('known hosts'), `[127.0.0.1]:20001 ${HOST_KEY}\n`)
  const text = await read('track.json')
  assert.match(text, /^\{\n\t"TrackContainer": \[\n\t\t\{\n\t\t\t"ID": "0001/)
  const file = JSON.parse(text)
  assert.deepEqual(Object.keys(file.TrackContainer[0]), ['ID', 'Container', 'IpAddress', 'NodeId', 'Auth', 'Endpoint'])
  assert.equal(file.TrackContainer[0].IpAddress, lender.address)
  assert.equal(file.TrackContainer[0].Endpoint, lender.address)
  assert.equal(file.TrackContainer[0].Container.Ports.Port[0].Endpoint, '127.0.0.1:20001')
  assert.equal(file.TrackContainer[0].NodeId, lender.identity.id)
})

test('take: a password is only in the reply and in no file; a key of the user is sent unchanged', async (context) => {
  const { send, lender, read } = await openFakeBorrower(context)
  const { loan } = (await send('loan.take', { where: lender.address, password: true })) as FactOf<'loan.taken'>
  assert.ok(loan.Container.SSHPassword instanceof Secret)
  assert.equal(loan.Container.SSHPassword.reveal(), 'hunter2')
  assert.doesNotMatch(`${await read('track.json')}${JSON.stringify(loan)}`, /hunter2/)
  assert.equal(JSON.parse(await read('track.json')).TrackContainer[0].Container.SSHPassword, '')
  const key = lender.identity.publicKey
  const own = (await send('loan.take', {
    where: lender.address,
    key,
    keyFile: '/home/me/id.pub',
  })) as FactOf<'loan.taken'>
  assert.deepEqual([own.loan.Auth, own.loan.KeyFile], ['userKey', '/home/me/id'])
  assert.match(own.loan.Container.SSHCommand, /^ssh -i \/home\/me\/id -o IdentitiesOnly=yes/)
  assert.equal(await refusal(send('loan.take', { where: lender.address, key: 'not a key' })), 'bad_key')
  assert.equal(lender.events.filter(({ type }) => type === 'container.create').length, 2)
})

test('take: a retried request is the same container, tracked once', async (context) => {
  const { send, lender, tracker } = await openFakeBorrower(context)
  const first = (await send('loan.take', { where: lender.address, requestId: 'same' })) as FactOf<'loan.taken'>
  const [second, third] = (await Promise.all([
    send('loan.take', { where: lender.address, requestId: 'same' }),
    send('loan.take', { where: lender.address, requestId: 'same' }),
  ])) as [FactOf<'loan.taken'>, FactOf<'loan.taken'>]
  assert.deepEqual([second.loan.ID, third.loan.ID], [first.loan.ID, first.loan.ID])
  assert.equal(tracker.loans.all().length, 1)
})

test('take: a failed take is not tracked and has a reason', async (context) => {
  const { send, lender, read, identity } = await openFakeBorrower(context)
  const closed = createServer().listen(0, '127.0.0.1')
  await new Promise((listening) => closed.once('listening', listening))
  const { port } = closed.address() as { port: number }
  await new Promise((done) => closed.close(done))
  assert.equal(await refusal(send('loan.take', { where: `127.0.0.1:${port}` })), 'unreachable')
  assert.equal(await refusal(send('loan.take', { where: 'nobody' })), 'not_found')
  assert.equal(await refusal(send('loan.take', { where: '"; touch X; "' })), 'bad_address')
  lender.script.create = ({ requestId }) => ({
    type: 'container.createFailed',
    requestId,
    ...new AppError('engine_missing', { why: 'x' }).toJSON(),
  })
  assert.equal(await refusal(send('loan.take', { where: lender.address })), 'engine_missing')
  lender.rights.trusted.delete(identity.id)
  assert.equal(await refusal(send('loan.take', { where: lender.address })), 'not_trusted')
  assert.equal(await read('track.json'), '')
  assert.equal(await read('known hosts'), '')
})

test('take: an invalid reply is rejected, and its container removed', async (context) => {
  const { send, lender, read, tracker } = await openFakeBorrower(context)
  const hostile: object[] = [
    { SSHUsername: '-oProxyCommand=x' },
    { SSHHostKey: `${HOST_KEY}\nx` },
    { Ports: { Port: [] } },
    { ID: '../x' },
  ]
  for (const change of hostile) {
    lender.script.create = ({ requestId }) => {
      lender.containers.set(idOf(9), { requestId, state: 'running' })
      return { type: 'container.created', requestId, container: { ...replyOf(idOf(9)), ...change } }
    }
    assert.equal(await refusal(send('loan.take', { where: lender.address })), 'protocol_error')
    assert.equal(lender.containers.size, 'ID' in change ? 1 : 0)
  }
  assert.deepEqual([tracker.loans.all(), await read('track.json')], [[], ''])
})

test('take: a container that cannot be recorded is returned', async (context) => {
  const { send, lender, path, tracker } = await openFakeBorrower(context)
  await mkdir(path('known hosts'))
  assert.equal(await refusal(send('loan.take', { where: lender.address })), 'disk_failed')
  assert.equal(lender.containers.size, 0)
  await rm(path('known hosts'), { recursive: true })
  await mkdir(path('track.json'))
  assert.equal(await refusal(send('loan.take', { where: lender.address })), 'disk_failed')
  assert.deepEqual([lender.containers.size, tracker.loans.all()], [0, []])
})

test('take: Ctrl-C aborts the request at the lender, and a container that it created anyway is removed', async (context) => {
  const { send, lender, bus } = await openFakeBorrower(context)
  const abort = new AbortController()
  lender.script.create = ({ requestId }) => {
    // The container is created, but the reply never arrives.
    lender.containers.set(idOf(7), { requestId, state: 'running' })
    abort.abort()
    return { type: 'container.progress', requestId, step: 'start', line: '' }
  }
  const [abandoned, ended] = [nextEvent(lender.bus, 'request.abandoned'), nextEvent(bus, 'loan.takeFailed')]
  assert.equal(await refusal(send('loan.take', { where: lender.address }, { signal: abort.signal })), 'abandoned')
  await abandoned
  assert.equal((await ended).code, 'abandoned')
  assert.equal(lender.containers.size, 0)
})

test('return: a container is forgotten when the lender confirms its removal or no longer has it, and not before', async (context) => {
  const { send, lender, read, tracker } = await openFakeBorrower(context)
  for (let number = 0; number < 3; number += 1) await send('loan.take', { where: lender.address })
  assert.equal(await refusal(send('loan.return', { id: '00' })), 'ambiguous')
  assert.equal(await refusal(send('loan.return', { id: 'ff' })), 'not_found')
  lender.script.remove = () => ({
    type: 'container.removeFailed',
    requestId: '',
    ...new AppError('engine_failed', { why: 'x' }).toJSON(),
  })
  assert.equal(await refusal(send('loan.return', { id: '0001' })), 'engine_failed')
  assert.equal(tracker.loans.all().length, 3)
  delete lender.script.remove
  assert.deepEqual(((await send('loan.return', { id: '0001' })) as FactOf<'loan.returned'>).id, idOf(1))
  lender.containers.delete(idOf(2))
  await send('loan.return', { id: '0002' })
  assert.equal(JSON.parse(await read('track.json')).TrackContainer.length, 1)
  await lender.stop()
  assert.equal(await refusal(send('loan.return', { id: '0003' })), 'unreachable')
  assert.equal(tracker.loans.all().length, 1)
  assert.equal(await read('known hosts'), `[127.0.0.1]:20001 ${HOST_KEY}\n`)
  // Otherwise a lender that never comes back would be remembered for ever.
  assert.equal(((await send('loan.return', { id: '0003', forget: true })) as FactOf<'loan.returned'>).id, idOf(3))
  assert.deepEqual([tracker.loans.all(), await read('known hosts')], [[], ''])
})

test('return: the last loan leaves no pinned key; an untracked container is removed with `where`', async (context) => {
  const { send, lender, read } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  await send('loan.return', { id: idOf(1), where: lender.address })
  assert.equal(await read('known hosts'), '')
  lender.containers.set(idOf(5), { requestId: '', state: 'running' })
  assert.equal(
    ((await send('loan.return', { id: idOf(5), where: lender.address })) as FactOf<'loan.returned'>).id,
    idOf(5),
  )
  assert.equal(await refusal(send('loan.return', { id: idOf(5), where: lender.address })), 'not_found')
})

test('return: with `where`, only the node there is asked, even where another one lent a container of that id', async (context) => {
  const { send, lenders, tracker } = await openFakeBorrower(context, { lenders: 2 })
  const [first, second] = lenders as [FakeLender, FakeLender]
  await send('loan.take', { where: first.address })
  assert.equal(await refusal(send('loan.return', { id: '0001', where: second.address })), 'not_found')
  assert.equal(await refusal(send('loan.return', { id: '0001', where: 'nobody' })), 'not_found')
  assert.deepEqual([first.containers.size, tracker.loans.all().length], [1, 1])
  await send('loan.return', { id: '0001', where: first.address })
  assert.deepEqual([first.containers.size, tracker.loans.all().length], [0, 0])
})

test('list held: what a lender lends to this node, tracked or not', async (context) => {
  const { send, lender } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  lender.containers.set(idOf(5), { requestId: 'r9', state: 'stopped' })
  const { held } = (await send('loan.listHeld', { where: lender.address })) as FactOf<'loan.heldListed'>
  assert.deepEqual(
    held.map(({ id, state, tracked }) => [id, state, tracked]),
    [
      [idOf(1), 'running', true],
      [idOf(5), 'stopped', false],
    ],
  )
  assert.equal(await refusal(send('loan.listHeld', { where: 'nobody' })), 'not_found')
})

test('take: the end of the process in the middle of it leaves nothing at the lender', async (context) => {
  const { send, lender, tracker, stopConcern } = await openFakeBorrower(context)
  const created = new Promise<void>((done) => {
    lender.script.create = ({ requestId }) => {
      lender.containers.set(idOf(7), { requestId, state: 'running' })
      done()
      return { type: 'container.progress', requestId, step: 'start', line: '' }
    }
  })
  const abort = new AbortController()
  const answer = refusal(send('loan.take', { where: lender.address }, { signal: abort.signal }))
  await created
  await stopConcern()
  abort.abort()
  assert.equal(await answer, 'abandoned')
  assert.deepEqual([lender.containers.size, tracker.loans.all().length], [0, 0])
})

test('return: a record without the lender’s key is returned by this node’s key where a node answers', async (context) => {
  const { send, lender, tracker } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  // Go P2PRC writes back what it knows.
  await tracker.loans.change(idOf(1), ({ NodeId: _, Auth: __, ...loan }) => loan)
  await send('loan.return', { id: '0001' })
  assert.deepEqual([lender.containers.size, tracker.loans.all().length], [0, 0])
})

test('list: shows the current report of each lender beside the records', async (context) => {
  const { send, lenders, identity, table } = await openFakeBorrower(context, { lenders: 4 })
  const [talks, refuses, gone, moved] = lenders as [FakeLender, FakeLender, FakeLender, FakeLender]
  const ids: ContainerId[] = []
  for (const [index, lender] of [talks, talks, talks, refuses, gone, moved].entries()) {
    const { loan } = (await send('loan.take', {
      where: lender.address,
      requestId: `t${index}`,
    })) as FactOf<'loan.taken'>
    ids.push(loan.ID)
  }
  assert.deepEqual(
    ids,
    [1, 2, 3, 101, 201, 301].map((number) => idOf(number)),
  )
  table.set(moved.identity.id, { endpoints: [directEndpoint({ host: '127.0.0.1', port: moved.port })] })
  talks.containers.delete(idOf(2))
  ;(talks.containers.get(idOf(3)) as { state: string }).state = 'stopped'
  const states = async () =>
    ((await send('loan.list')) as FactOf<'loan.listed'>).loans.map(({ ID, state }) => [ids.indexOf(ID), state])
  assert.deepEqual(await states(), [
    [0, 'running'],
    [1, 'gone'],
    [2, 'stopped'],
    [3, 'running'],
    [4, 'running'],
    [5, 'running'],
  ])
  refuses.rights.trusted.delete(identity.id)
  await gone.stop()
  assert.deepEqual((await states()).slice(3), [
    [3, 'refused'],
    [4, 'unreachable'],
    [5, 'running'],
  ])
})

test('list: another node at a lender’s address is not trusted; a lender that moved is found by its key', async (context) => {
  const { send, lenders, table, tracker } = await openFakeBorrower(context, { lenders: 2 })
  const [first, second] = lenders as [(typeof lenders)[number], (typeof lenders)[number]]
  await send('loan.take', { where: first.address })
  await tracker.loans.change(idOf(1), (loan) =>
    atEndpoint(loan, directEndpoint({ host: '127.0.0.1', port: second.port })),
  )
  second.containers.set(idOf(1), { requestId: '', state: 'running' })
  const state = async () => ((await send('loan.list')) as FactOf<'loan.listed'>).loans[0]?.state
  assert.equal(await state(), 'unreachable')
  assert.equal(await refusal(send('loan.return', { id: '0001' })), 'wrong_node')
  table.set(first.identity.id, { endpoints: [directEndpoint({ host: '127.0.0.1', port: first.port })] })
  assert.equal(await state(), 'running')
  assert.equal(tracker.loans.find(idOf(1)).IpAddress, first.address, 'its record says where it is now')
  table.delete(first.identity.id)
  assert.equal(await state(), 'running')
})

test('find: a loan is found by its id prefix, and its logs are read', async (context) => {
  const { send, lender, events } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  const found = (await send('loan.find', { id: '000' })) as FactOf<'loan.found'>
  assert.equal(found.sshArgs.at(-1), 'root@127.0.0.1')
  assert.equal(await refusal(send('loan.find', { id: 'e' })), 'not_found')
  await send('loan.logs', { id: '0', tail: 7 })
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'loan.logged' ? [[event.stream, event.line]] : [])),
    [
      ['stdout', '0001 tail 7'],
      ['stderr', 'oops'],
    ],
  )
})

test('many concurrent takes are all written', async (context) => {
  const { send, lender, read } = await openFakeBorrower(context)
  await Promise.all(Array.from({ length: 20 }, () => send('loan.take', { where: lender.address })))
  assert.equal(JSON.parse(await read('track.json')).TrackContainer.length, 20)
})

test('files: Go’s records stay unchanged; empty and broken files are read as the store reads them', async (context) => {
  const go = {
    ID: 'mXkQ7vLbN3sT9wPzR4hYcE',
    Container: { SSHUsername: 'root', ID: 'mXkQ7vLbN3sT9wPzR4hYcE', Ports: { Port: null }, Odd: [1] },
    IpAddress: 'old:8088',
    Mine: true,
  }
  for (const [text, states] of [
    ['', []],
    ['{}', []],
    ['{"TrackContainer":null}', []],
    ['null', []],
    ['{"TrackContainer":[{"ID"', []],
    [JSON.stringify({ TrackContainer: [go] }), ['unknown']],
  ] as const) {
    const folder = await mkdtemp(join(tmpdir(), 'p2prc-loans-'))
    await writeFile(join(folder, 'track.json'), text)
    const { send, lender, read, damaged, stop } = await openFakeBorrower(context, { folder })
    assert.equal(damaged.length, /^(null|\{"TrackContainer":\[\{"ID")/.test(text) && states.length === 0 ? 1 : 0, text)
    const { loans } = (await send('loan.list')) as FactOf<'loan.listed'>
    assert.deepEqual(
      loans.map(({ state }) => state),
      states,
    )
    await send('loan.take', { where: lender.address })
    const records = JSON.parse(await read('track.json')).TrackContainer
    if (states.length > 0) {
      assert.equal(records.length, 2)
      assert.equal(records[0].Mine, true)
      assert.deepEqual(records[0].Container.Odd, [1])
      assert.equal(((await send('loan.find', { id: go.ID })) as FactOf<'loan.found'>).sshArgs.at(-1), 'root@old')
    }
    await stop()
    await rm(folder, { recursive: true })
  }
})

test('return: a container of a Go node, for which only the bare word `success` confirms the removal', async (context) => {
  const { send, tracker } = await openFakeBorrower(context)
  let answer = 'error: no such container success'
  const asked: (string | undefined)[] = []
  const go = createHttpServer((request, response) => {
    asked.push(request.url)
    response.end(answer)
  }).listen(0, '127.0.0.1')
  context.after(() => go.close())
  await once(go, 'listening')
  const { port } = go.address() as AddressInfo
  const ID = 'mXkQ7vLbN3sT9wPzR4hYcE' as ContainerId
  const record = { ID, Container: { ...replyOf(ID), SSHHostKey: '' }, IpAddress: `127.0.0.1:${port}` }
  await tracker.loans.track(record as unknown as Loan)
  assert.equal(await refusal(send('loan.return', { id: 'mXk' })), 'engine_failed')
  assert.equal(tracker.loans.all().length, 1)
  answer = 'success'
  assert.equal(((await send('loan.return', { id: 'mXk' })) as FactOf<'loan.returned'>).id, ID)
  assert.deepEqual([tracker.loans.all(), asked], [[], [`/RemoveContainer?id=${ID}`, `/RemoveContainer?id=${ID}`]])
})
