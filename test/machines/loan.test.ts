import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createEmptyActor, initialTransition, transition } from 'xstate'
import { loanMachine } from '../../machines/loan.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { takeCommand } from '../support/fakeBorrower.ts'
import { idOf, replyOf } from '../support/fakeLender.ts'

const loan = { ID: idOf(1), Container: replyOf(idOf(1)), IpAddress: '10.0.0.1:8088' } as unknown as Loan

const progress = { type: 'lender.progress', step: 'start', line: 'x' }
const created = { type: 'lender.created', loan }
const failed = (code: 'unreachable' | 'connection_lost' | 'not_trusted') => ({
  type: 'lender.failed',
  ...new AppError(code).toJSON(),
})
const abandoned = { type: 'take.abandoned' }
const done = (state: string) => ({ type: `xstate.done.actor.0.loan.${state}`, output: undefined })
const rejected = (state: string, error: Error = new AppError('disk_failed')) => ({
  type: `xstate.error.actor.0.loan.${state}`,
  error,
})

/** Returns the states that were passed, and the last event to the parent. */
function play(events: object[]): { states: unknown[]; fact: unknown } {
  let fact: unknown
  let [snapshot, actions] = initialTransition(loanMachine, { parent: createEmptyActor(), command: takeCommand('r1') })
  const states = [snapshot.value]
  for (const event of events) {
    ;[snapshot, actions] = transition(loanMachine, snapshot, event as never)
    states.push(snapshot.value)
    const sent = actions.find(({ type }) => type === 'xstate.sendTo')?.params as
      | { event?: { fact: unknown } }
      | undefined
    fact = sent?.event?.fact ?? fact
  }
  return { states, fact }
}

test('chart: a loan is tracked before it is reported; any failure after the lender created it returns it', () => {
  const rows: [string, object[], string[], string, string?][] = [
    ['taken', [progress, created, done('tracking')], ['requesting', 'requesting', 'tracking', 'taken'], 'loan.taken'],
    ['progress is passed on', [progress], ['requesting', 'requesting'], 'loan.progress'],
    ['refused: nothing to undo', [failed('not_trusted')], ['requesting', 'failed'], 'loan.takeFailed', 'not_trusted'],
    [
      'lost: the lender is asked what it made',
      [failed('connection_lost'), done('cleaningUp')],
      ['requesting', 'cleaningUp', 'failed'],
      'loan.takeFailed',
      'connection_lost',
    ],
    [
      'lost, and it cannot be asked',
      [failed('connection_lost'), rejected('cleaningUp')],
      ['requesting', 'cleaningUp', 'failed'],
      'loan.takeFailed',
      'connection_lost',
    ],
    [
      'not written: given back',
      [created, rejected('tracking'), done('rollingBack')],
      ['requesting', 'tracking', 'rollingBack', 'failed'],
      'loan.takeFailed',
      'disk_failed',
    ],
    [
      'not written, and not given back',
      [created, rejected('tracking'), rejected('rollingBack', new AppError('unreachable'))],
      ['requesting', 'tracking', 'rollingBack', 'failed'],
      'loan.takeFailed',
      'disk_failed',
    ],
    [
      'Ctrl-C while asking',
      [abandoned, done('cleaningUp')],
      ['requesting', 'cleaningUp', 'failed'],
      'loan.takeFailed',
      'abandoned',
    ],
    [
      'Ctrl-C while writing',
      [created, abandoned, done('tracking'), done('rollingBack')],
      ['requesting', 'tracking', 'tracking', 'rollingBack', 'failed'],
      'loan.takeFailed',
      'abandoned',
    ],
    [
      'a late answer after Ctrl-C',
      [abandoned, created, done('cleaningUp')],
      ['requesting', 'cleaningUp', 'cleaningUp', 'failed'],
      'loan.takeFailed',
      'abandoned',
    ],
  ]
  for (const [name, events, states, type, code] of rows) {
    const played = play(events)
    assert.deepEqual(played.states, states, name)
    const fact = played.fact as { type: string; code?: string; message?: string }
    assert.deepEqual([fact.type, fact.code], [type, code], name)
  }
})

test('chart: a container that could not be returned is named with its lender', () => {
  const { fact } = play([created, rejected('tracking'), rejected('rollingBack', new AppError('unreachable'))])
  assert.match((fact as { message: string }).message, new RegExp(`${idOf(1)} still runs at 10.0.0.1:8088`))
})
