import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  begin,
  end,
  enter,
  find,
  inPhase,
  join,
  leave,
  type Requests,
  requestGuards,
  type Tracked,
} from '../../machines/requests.ts'

type List = Requests<Tracked<'queued' | 'running'>>

const none: List = []
const one = begin(none, { requestId: 'a', phase: 'queued' })
const two = begin(one, { requestId: 'b', phase: 'running' })

/** Returns a list in a short form: id, phase and waiters. */
const short = (list: List) => list.map(({ requestId, phase, waiters }) => `${requestId} ${phase} ${waiters}`)

test('every change returns a new list and leaves the old one unchanged', () => {
  const rows: [string, List, string[]][] = [
    ['begin', two, ['a queued 1', 'b running 1']],
    ['join', join(two, 'a'), ['a queued 2', 'b running 1']],
    ['join of none', join(two, 'c'), ['a queued 1', 'b running 1']],
    ['leave', leave(join(two, 'a'), 'a'), ['a queued 1', 'b running 1']],
    ['leave more often than joined', leave(leave(two, 'a'), 'a'), ['a queued 0', 'b running 1']],
    ['enter', enter(two, 'a', 'running'), ['a running 1', 'b running 1']],
    ['enter of all that match', enter(two, () => true, 'running'), ['a running 1', 'b running 1']],
    ['end', end(two, 'a'), ['b running 1']],
    ['end of none', end(two, 'c'), ['a queued 1', 'b running 1']],
    ['end of all that match', end(two, ({ phase }) => phase === 'running'), ['a queued 1']],
    ['in a phase', inPhase(two, 'running'), ['b running 1']],
  ]
  for (const [name, list, expected] of rows) assert.deepEqual(short(list), expected, name)
  assert.deepEqual(short(two), ['a queued 1', 'b running 1'])
  assert.deepEqual([find(two, 'b')?.phase, find(two, 'c')], ['running', undefined])
})

test('guards: a request in progress, its last waiter, and whether the work has begun', () => {
  const rows: [List, string, { isUnderWay: boolean; isLastWaiter: boolean; isLastWaiterOfQueued: boolean }][] = [
    [two, 'a', { isUnderWay: true, isLastWaiter: true, isLastWaiterOfQueued: true }],
    [two, 'b', { isUnderWay: true, isLastWaiter: true, isLastWaiterOfQueued: false }],
    [join(two, 'a'), 'a', { isUnderWay: true, isLastWaiter: false, isLastWaiterOfQueued: false }],
    [leave(two, 'a'), 'a', { isUnderWay: true, isLastWaiter: false, isLastWaiterOfQueued: false }],
    [two, 'c', { isUnderWay: false, isLastWaiter: false, isLastWaiterOfQueued: false }],
  ]
  const { isUnderWay, isLastWaiter } = requestGuards<{ requests: List }>()
  for (const [requests, requestId, expected] of rows) {
    const args = { context: { requests } }
    const found = {
      isUnderWay: isUnderWay(args, { requestId }),
      isLastWaiter: isLastWaiter(args, { requestId, phases: ['queued', 'running'] }),
      isLastWaiterOfQueued: isLastWaiter(args, { requestId, phases: ['queued'] }),
    }
    assert.deepEqual(found, expected, `${short(requests)} ${requestId}`)
  }
})
