import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEmptyActor, initialTransition, transition } from 'xstate'
import { type CreateCommand, groupCreateMachine } from '../../machines/groupCreate.ts'
import { takeCommands } from '../../machines/groupTracker/takes.ts'
import { inPhase } from '../../machines/requests.ts'
import { CONCURRENT_TAKES_MAX } from '../../protocol/defaults/groupTracker.ts'
import { AppError } from '../../protocol/errors.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { idOf } from '../support/fakeLender.ts'

const create = (changes: Partial<CreateCommand> = {}): CreateCommand => ({
  ...{ type: 'group.create', requestId: 'g', caller: 'owner', name: 'farm', members: [], on: [], count: 0, nearest: 0 },
  ...{ key: '', ports: 0, udpPorts: 0, gpu: false, image: '', password: false, keyFile: '' },
  ...changes,
})

test('takes are distributed among the lenders in turn, each as its own request', () => {
  const dealt = (on: string[], count: number) =>
    takeCommands(create({ on, count })).map(({ requestId, where }) => `${requestId} ${where}`)
  assert.deepEqual(dealt([], 3), [])
  assert.deepEqual(dealt(['a', 'b'], 0), ['g/1 a', 'g/2 b'])
  assert.deepEqual(dealt(['a', 'b'], 3), ['g/1 a', 'g/2 b', 'g/3 a'])
})

const checked = { type: 'xstate.done.actor.0.groupCreate.checking', output: undefined }
const chosen = { type: 'xstate.done.actor.0.groupCreate.choosing', output: ['a', 'b'] }
const tooFew = {
  type: 'xstate.error.actor.0.groupCreate.choosing',
  error: new AppError('peers_short', { found: 1, count: 2 }),
}
const badName = { type: 'xstate.error.actor.0.groupCreate.checking', error: new AppError('bad_request', { why: 'x' }) }
const taken = (number: number) => ({
  type: 'child.ended',
  requestId: `g/${number}`,
  fact: { type: 'loan.taken', requestId: `g/${number}`, loan: { ID: idOf(number) } },
})
const refused = (number: number) => ({
  type: 'child.ended',
  requestId: `g/${number}`,
  fact: { type: 'loan.takeFailed', requestId: `g/${number}`, ...new AppError('limit_reached', { count: 1 }).toJSON() },
})
const written = {
  type: 'xstate.done.actor.0.groupCreate.writing',
  output: { ID: 'grp1', Name: 'farm', TrackContainer: [] },
}
const unwritten = { type: 'xstate.error.actor.0.groupCreate.writing', error: new AppError('disk_failed') }
const returned = { type: 'xstate.done.actor.0.groupCreate.rollingBack', output: undefined }
const abandoned = { type: 'take.abandoned' }

function play(command: CreateCommand, events: object[]) {
  const emitted: { type: string; code?: string }[] = []
  let peak = 0
  const givenBack: ContainerId[] = []
  let [snapshot, actions] = initialTransition(groupCreateMachine, { parent: createEmptyActor(), command })
  for (const event of events) {
    ;[snapshot, actions] = transition(groupCreateMachine, snapshot, event as never)
    peak = Math.max(peak, inPhase(snapshot.context.takes, 'taking').length)
    for (const { type, params } of actions) {
      const { src, input } = (params ?? {}) as { src?: string; input?: ContainerId[] }
      if (type === 'xstate.spawnChild' && src === 'rollBack') givenBack.push(...(input ?? []))
      const fact = (params as { event?: { fact?: { type: string } } })?.event?.fact
      if (type === 'xstate.sendTo' && fact) emitted.push(fact)
    }
  }
  return { value: snapshot.value, emitted, peak, givenBack, context: snapshot.context }
}

test('chart: a group has the containers that were taken, and without any there is no group', () => {
  const rows: [string, Partial<CreateCommand>, object[], string, string[], string?, number[]?][] = [
    ['without containers', {}, [checked, written], 'created', ['group.changed', 'group.created']],
    ['a bad name takes nothing', { on: ['a'] }, [badName], 'failed', ['group.createFailed'], 'bad_request'],
    ['waits for all', { on: ['a', 'b'] }, [checked, taken(1)], 'taking', []],
    [
      'all taken',
      { on: ['a', 'b'] },
      [checked, taken(2), taken(1), written],
      'created',
      ['group.changed', 'group.created'],
    ],
    [
      'some taken',
      { on: ['a', 'b'] },
      [checked, taken(1), refused(2), written],
      'created',
      ['group.changed', 'group.created'],
    ],
    [
      'none taken',
      { on: ['a', 'b'] },
      [checked, refused(1), refused(2)],
      'failed',
      ['group.createFailed'],
      'limit_reached',
    ],
    [
      'none taken beside loans',
      { on: ['a'], members: ['0'] },
      [checked, refused(1), written],
      'created',
      ['group.changed', 'group.created'],
    ],
    [
      'not written: given back',
      { on: ['a'] },
      [checked, taken(1), unwritten, returned],
      'failed',
      ['group.createFailed'],
      'disk_failed',
      [1],
    ],
    [
      'not written: each that was taken is given back',
      { on: ['a', 'b', 'c'] },
      [checked, taken(3), refused(2), taken(1), unwritten, returned],
      'failed',
      ['group.createFailed'],
      'disk_failed',
      [3, 1],
    ],
    [
      'not written: borrowed before, so not given back',
      { on: ['a'], members: ['0'] },
      [checked, taken(1), unwritten, returned],
      'failed',
      ['group.createFailed'],
      'disk_failed',
      [1],
    ],
    ['the nearest are looked for', { nearest: 2 }, [checked], 'choosing', []],
    ['and taken on', { nearest: 2 }, [checked, chosen, taken(1)], 'taking', []],
    ['beside those that are named', { on: ['c'], nearest: 2 }, [checked, chosen, taken(1), taken(2)], 'taking', []],
    [
      'one on each of them',
      { nearest: 2 },
      [checked, chosen, taken(1), taken(2), written],
      'created',
      ['group.changed', 'group.created'],
    ],
    ['too few answer', { nearest: 2 }, [checked, tooFew], 'failed', ['group.createFailed'], 'peers_short'],
    ['Ctrl-C while choosing', { nearest: 2 }, [checked, abandoned], 'failed', ['group.createFailed'], 'abandoned'],
    ['Ctrl-C while checking', { on: ['a'] }, [abandoned], 'failed', ['group.createFailed'], 'abandoned'],
    ['Ctrl-C: waits for what is under way', { on: ['a', 'b'] }, [checked, taken(1), abandoned], 'abandoning', []],
    [
      'Ctrl-C: gives the rest back',
      { on: ['a', 'b'] },
      [checked, taken(1), abandoned, refused(2), returned],
      'failed',
      ['group.createFailed'],
      'abandoned',
      [1],
    ],
    [
      'Ctrl-C: also gives back what is taken after it',
      { on: ['a', 'b'] },
      [checked, taken(1), abandoned, taken(2), returned],
      'failed',
      ['group.createFailed'],
      'abandoned',
      [1, 2],
    ],
  ]
  for (const [name, changes, events, state, types, code, given = []] of rows) {
    const played = play(create(changes), events)
    assert.equal(played.value, state, name)
    const facts = played.emitted.filter(({ type }) => type.startsWith('group.'))
    assert.deepEqual(
      facts.map(({ type }) => type),
      types,
      name,
    )
    if (code) assert.equal(facts.at(-1)?.code, code, name)
    assert.deepEqual(played.givenBack, given.map(idOf), name)
  }
})

test('chart: at most CONCURRENT_TAKES_MAX takes run at the same time, and all of them run in the end', () => {
  const count = CONCURRENT_TAKES_MAX * 3 + 1
  const all = Array.from({ length: count }, (_, index) => (index % 5 === 4 ? refused(index + 1) : taken(index + 1)))
  const { value, peak, context } = play(create({ on: ['a'], count }), [checked, ...all])
  assert.deepEqual([value, peak], ['writing', CONCURRENT_TAKES_MAX])
  assert.equal(context.taken.length + context.failures.length, count)
})
