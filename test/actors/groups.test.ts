import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { makeSshKeyPair } from '../../actors/identity.ts'
import { createLoanRequests } from '../../actors/pluginRunner/loanRequests.ts'
import { createPortAllocator } from '../../actors/pluginRunner/portAllocator.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { type FactOf, openFakeBorrower, refusal } from '../support/fakeBorrower.ts'
import { type FakeLender, idOf, replyOf } from '../support/fakeLender.ts'

const shortIds = (group: { TrackContainer: { ID: string }[] }) => group.TrackContainer.map(({ ID }) => ID.slice(0, 4))

test('create, list, show, add, remove and delete keep the file in P2PRC’s form, and no member is added twice', async (context) => {
  const { send, lender, read, events } = await openFakeBorrower(context)
  for (let number = 0; number < 3; number += 1) await send('loan.take', { where: lender.address })
  const { group } = (await send('group.create', { name: 'farm', members: ['0001'] })) as FactOf<'group.created'>
  assert.match(group.ID, /^grp[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  await send('group.add', { id: 'farm', members: ['0002', '0001', '0002'] })
  const text = await read('groups.json')
  assert.match(text, /^\{\n "Groups": \[\n {2}\{\n {3}"ID": "grp/)
  const [written] = JSON.parse(text).Groups
  assert.deepEqual(written.TrackContainer, JSON.parse(await read('track.json')).TrackContainer.slice(0, 2))
  const { group: removed } = (await send('group.remove', {
    id: group.ID.slice(0, 8),
    members: ['0001'],
  })) as FactOf<'group.removed'>
  assert.deepEqual(shortIds(removed), ['0002'])
  const empty = (await send('group.create')) as FactOf<'group.created'>
  const { groups } = (await send('group.list')) as FactOf<'group.listed'>
  assert.deepEqual(
    groups.map(({ Name }) => Name),
    ['farm', ''],
  )
  await send('group.delete', { id: empty.group.ID })
  await send('group.delete', { id: 'farm' })
  assert.deepEqual(JSON.parse(await read('groups.json')).Groups, [])
  assert.equal(lender.containers.size, 3)
  assert.deepEqual(
    events.flatMap((event) => (event.type === 'group.changed' ? [event.group && shortIds(event.group)] : [])),
    [['0001'], ['0001', '0002'], ['0002'], [], null, null],
  )
})

test('invalid references change nothing', async (context) => {
  const { send, lender, read } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  await send('group.create', { name: 'farm', members: ['0001'] })
  await send('group.create')
  const before = await read('groups.json')
  assert.equal(await refusal(send('group.create', { name: 'farm' })), 'bad_request')
  assert.equal(await refusal(send('group.create', { members: ['ff'] })), 'not_found')
  assert.equal(await refusal(send('group.create', { name: 'farm', on: [lender.address] })), 'bad_request')
  assert.equal(await refusal(send('group.show', { id: 'nix' })), 'not_found')
  assert.equal(await refusal(send('group.show', { id: 'grp' })), 'ambiguous')
  assert.equal(await refusal(send('group.add', { id: 'farm', members: ['ff'] })), 'not_found')
  assert.equal(await refusal(send('group.remove', { id: 'farm', members: ['ff'] })), 'not_found')
  assert.equal(await refusal(send('group.delete', { id: 'nix' })), 'not_found')
  assert.equal(await refusal(send('group.exec', { id: 'nix', command: ['true'] })), 'not_found')
  assert.equal(await read('groups.json'), before)
  assert.equal(lender.containers.size, 1)
})

test('a returned container leaves every group; a member that its lender no longer has is shown as gone', async (context) => {
  const { send, lender, tracker, events } = await openFakeBorrower(context)
  for (let number = 0; number < 3; number += 1) await send('loan.take', { where: lender.address })
  await send('group.create', { name: 'a', members: ['0001', '0002'] })
  await send('group.create', { name: 'b', members: ['0001'] })
  await send('loan.return', { id: '0001' })
  assert.deepEqual(tracker.groups.all().map(shortIds), [['0002'], []])
  const changes = events.flatMap((event) =>
    event.type === 'group.changed' && event.group ? [shortIds(event.group)] : [],
  )
  assert.deepEqual(changes.slice(2), [['0002'], []])
  lender.containers.delete(idOf(2))
  const { group } = (await send('group.show', { id: 'a' })) as FactOf<'group.shown'>
  assert.deepEqual(
    group.TrackContainer.map(({ state }) => state),
    ['gone'],
  )
  await send('group.remove', { id: 'a', members: ['0002'] })
  assert.deepEqual(tracker.groups.all().map(shortIds), [[], []])
})

test('groups show the current record, not an old copy', async (context) => {
  const { send, lender, tracker, read } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  await send('group.create', { name: 'a', members: ['0001'] })
  await tracker.loans.change(idOf(1), (loan) => ({ ...loan, IpAddress: 'moved:1' }))
  assert.equal(tracker.members('a')[0]?.IpAddress, 'moved:1')
  assert.equal(tracker.members('0001')[0]?.IpAddress, 'moved:1')
  await send('group.create', { name: 'b' })
  assert.equal(JSON.parse(await read('groups.json')).Groups[0].TrackContainer[0].IpAddress, 'moved:1')
})

test('ports of a plugin are marked as used in the record and in its groups', async (context) => {
  const { signal } = context
  const { send, lender, tracker, bus } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  await send('loan.take', { where: lender.address })
  await tracker.loans.change(idOf(1), (loan) => {
    const [ssh] = loan.Container.Ports.Port
    const extra = [40_000, 40_001].map((InternalPort) => ({
      ...(ssh as object),
      PortName: 'AutoGen Port',
      InternalPort,
      IsUsed: false,
    }))
    return { ...loan, Container: { ...loan.Container, Ports: { Port: extra as never } } }
  })
  await send('group.create', { name: 'a', members: ['0001', '0002'] })
  const { usePorts, members } = createLoanRequests(bus)
  await usePorts(idOf(1), 'web', [40_001], signal)
  await assert.rejects(usePorts('ff' as ContainerId, 'web', [1], signal), { code: 'not_found' })
  const usedIn = async (ref: string) =>
    (await members(ref, signal))[0]?.Container.Ports.Port.map(({ IsUsed }) => IsUsed)
  assert.deepEqual(
    [await usedIn('0001'), await usedIn('a')],
    [
      [false, true],
      [false, true],
    ],
  )
  // The plugin that used it gets its own port again, a new one the free port, and not while another run has it.
  const [loan] = await members('0001', signal)
  const ports = createPortAllocator()
  const given = (name: string) => ports.free(loan as Loan, { name, ports: 1 }).map(({ internal }) => internal)
  assert.deepEqual([given('web'), given('other')], [[40_001], [40_000]])
  ports.take(idOf(1), ports.free(loan as Loan, { name: 'web', ports: 1 }))
  assert.deepEqual(given('web'), [40_000])
  assert.throws(() => ports.free(loan as Loan, { name: 'other', ports: 2 }), { code: 'ports_short' })
})

test('the loans are published at the start and after every change, without secrets', async (context) => {
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-said-'))
  context.after(() => rm(folder, { recursive: true }))
  const changes = (events: readonly BusEvent[]) =>
    events.flatMap((event): unknown[] => {
      if (event.type === 'loan.changed') return [event.loans.map(({ ID }) => ID.slice(0, 4))]
      if (event.type === 'group.changed') return [event.group && `${event.group.Name} ${shortIds(event.group)}`]
      return []
    })
  const first = await openFakeBorrower(context, { folder })
  const { send, lender, events } = first
  await send('loan.take', { where: lender.address, password: true })
  await send('loan.take', { where: lender.address })
  await send('group.create', { name: 'a', members: ['0001', '0002'] })
  await send('loan.return', { id: '0001' })
  assert.deepEqual(changes(events), [[], ['0001'], ['0001', '0002'], 'a 0001,0002', ['0002'], 'a 0002'])
  assert.doesNotMatch(JSON.stringify(events.filter(({ type }) => type === 'loan.changed')), /hunter2|•/)
  await first.stop()
  const again = await openFakeBorrower(context, { folder })
  assert.deepEqual(changes(again.events), [['0002'], 'a 0002'])
})

test('a group or a loan is resolved for a plugin over the bus; an abort ends the request', async (context) => {
  const { send, lender, bus } = await openFakeBorrower(context)
  await send('loan.take', { where: lender.address })
  await send('group.create', { name: 'a', members: ['0001'] })
  const { members } = createLoanRequests(bus)
  for (const ref of ['a', '0001', idOf(1)])
    assert.deepEqual(
      (await members(ref, context.signal)).map(({ ID }) => ID),
      [idOf(1)],
    )
  await assert.rejects(members('grpz', context.signal), { code: 'not_found' })
  await assert.rejects(members('nix', context.signal), {
    code: 'not_found',
    message: /group or borrowed container/,
  })
  await assert.rejects(members('a', AbortSignal.abort()), { code: 'abandoned' })
})

test('a group is created with its containers in one command, and each lender that refuses is reported', async (context) => {
  const { send, lenders, identity, events } = await openFakeBorrower(context, { lenders: 2 })
  const [one, two] = lenders as [(typeof lenders)[number], (typeof lenders)[number]]
  two.rights.trusted.delete(identity.id)
  const made = (await send('group.create', {
    name: 'farm',
    on: [one.address, two.address, 'nobody'],
    count: 6,
  })) as FactOf<'group.created'>
  assert.deepEqual(shortIds(made.group), ['0001', '0002'])
  assert.deepEqual(
    made.failures.map(({ member, code }) => `${member === two.address ? 'two' : member} ${code}`).sort(),
    ['nobody not_found', 'nobody not_found', 'two not_trusted', 'two not_trusted'],
  )
  assert.ok(
    events.some(
      (event) => event.type === 'group.progress' && event.member === one.address && event.line === 'starting',
    ),
  )
  assert.equal(await refusal(send('group.create', { name: 'x', on: [two.address] })), 'not_trusted')
  const { returned } = (await send('group.delete', { id: 'farm', containers: true })) as FactOf<'group.deleted'>
  assert.deepEqual([returned.length, one.containers.size], [2, 0])
})

test('a container that cannot be returned keeps its group', async (context) => {
  const { send, lender, tracker } = await openFakeBorrower(context)
  await send('group.create', { name: 'farm', on: [lender.address], count: 2 })
  lender.script.remove = (id) =>
    id === idOf(1)
      ? { type: 'container.removeFailed', requestId: '', ...new AppError('engine_failed', { why: 'x' }).toJSON() }
      : { type: 'container.removed', requestId: '', id: id as ContainerId }
  assert.equal(await refusal(send('group.delete', { id: 'farm', containers: true })), 'engine_failed')
  assert.deepEqual(tracker.groups.all().map(shortIds), [['0001']])
})

test('a lender that replies with the id of another lender’s container is refused, and the loan stays as it was', async (context) => {
  const { send, lenders, read } = await openFakeBorrower(context, { lenders: 2 })
  const [honest, hostile] = lenders as [FakeLender, FakeLender]
  await send('loan.take', { where: honest.address })
  const before = [await read('track.json'), await read('known hosts')]
  hostile.script.create = ({ requestId }) => ({
    type: 'container.created',
    requestId,
    container: replyOf(idOf(1), 666, makeSshKeyPair('').publicKey.trim()),
  })
  assert.equal(await refusal(send('loan.take', { where: hostile.address })), 'protocol_error')
  assert.deepEqual([await read('track.json'), await read('known hosts')], before)
  assert.deepEqual([...honest.containers.keys()], [idOf(1)])
})

test('Ctrl-C during the creation of a group returns the taken containers', async (context) => {
  const { send, lender, bus, tracker } = await openFakeBorrower(context)
  const abort = new AbortController()
  let asked = 0
  lender.script.create = ({ requestId }) => {
    asked += 1
    lender.containers.set(idOf(asked), { requestId, state: 'running' })
    if (asked === 2) abort.abort()
    return { type: 'container.progress', requestId, step: 'start', line: '' }
  }
  const ended = new Promise((done) => bus.on('group.createFailed', done))
  assert.equal(
    await refusal(send('group.create', { on: [lender.address], count: 2 }, { signal: abort.signal })),
    'abandoned',
  )
  await ended
  assert.deepEqual([lender.containers.size, tracker.loans.all(), tracker.groups.all()], [0, [], []])
})

test('files: 0 bytes, {}, null lists and the seeds’ file name are read; a broken one is quarantined', async (context) => {
  const old = { Groups: [{ ID: 'grpold', TrackContainer: null }] }
  const rows: [string | undefined, string | undefined, string[], number][] = [
    ['', undefined, [], 0],
    ['{}', undefined, [], 0],
    ['{"Groups":null}', undefined, [], 0],
    [JSON.stringify(old), undefined, ['grpold'], 0],
    ['{"Groups":[{', undefined, [], 1],
    ['null', undefined, [], 1],
    [undefined, JSON.stringify(old), ['grpold'], 0],
    ['', JSON.stringify(old), ['grpold'], 0],
    ['{"Groups":[]}', JSON.stringify(old), [], 0],
    [undefined, '{broken', [], 0],
  ]
  for (const [text, seeds, ids, damagedCount] of rows) {
    const folder = await mkdtemp(join(tmpdir(), 'p2prc-groups-'))
    if (text !== undefined) await writeFile(join(folder, 'groups.json'), text)
    if (seeds !== undefined) await writeFile(join(folder, 'grouptrackcontainer.json'), seeds)
    const { send, damaged, read, stop } = await openFakeBorrower(context, { folder })
    const { groups } = (await send('group.list')) as FactOf<'group.listed'>
    assert.deepEqual(
      groups.map(({ ID }) => ID),
      ids,
      `${text} ${seeds}`,
    )
    assert.equal(damaged.length, damagedCount, text)
    await send('group.create', { name: 'new' })
    assert.equal(JSON.parse(await read('groups.json')).Groups.length, ids.length + 1)
    if (seeds !== undefined) assert.equal(await read('grouptrackcontainer.json'), seeds)
    await stop()
    await rm(folder, { recursive: true })
  }
})

test('a full disk leaves groups unchanged, and containers taken for a new group are returned', async (context) => {
  const { send, lender, path, tracker } = await openFakeBorrower(context)
  await mkdir(path('groups.json'))
  assert.equal(await refusal(send('group.create', { on: [lender.address], count: 2 })), 'disk_failed')
  assert.deepEqual([lender.containers.size, tracker.loans.all(), tracker.groups.all()], [0, [], []])
})
