import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createActor, fromCallback, fromPromise, initialTransition, SimulatedClock, transition } from 'xstate'
import {
  memberResult,
  type PlayEvent,
  type PluginRunInput,
  pluginRunMachine,
  type RunPlan,
  runResult,
  withStep,
} from '../../machines/pluginRun.ts'
import { pluginRunnerMachine } from '../../machines/pluginRunner.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import {
  type MemberResult,
  type PluginRunnerCommand,
  type PluginRunnerEmits,
  pluginRunnerCommands,
  type TaskStep,
} from '../../protocol/pluginRunner.ts'
import { nextTick } from '../support/harness.ts'

const plan: RunPlan = {
  name: 'hello',
  folder: '/run/x',
  stock: false,
  members: ['a', 'b'].map((member) => ({ member, id: `${member}1` as ContainerId, host: '127.0.0.1', ports: [] })),
}

const command = {
  type: 'plugin.run',
  requestId: 'r1',
  caller: 'owner',
  ...pluginRunnerCommands['plugin.run'].schema.parse({ name: 'hello', id: 'grp1', timeoutMs: 5_000 }),
} as const satisfies PluginRunnerCommand

function step(member: string, status: TaskStep['status'], more: Partial<TaskStep> = {}): PlayEvent {
  return { type: 'play.task', step: { member, task: 'install', item: '', status, message: '', ...more } }
}

/** Creates a run whose effects the test controls. */
function createFixture() {
  const emitted: PluginRunnerEmits[] = []
  const settled: MemberResult[][] = []
  let emit: (event: PlayEvent) => void = () => {}
  let playing = 0
  let prepared: { resolve: (plan: RunPlan) => void; reject: (error: Error) => void } | undefined
  const parent = createActor(
    fromCallback<{ type: 'run.emitted'; fact: PluginRunnerEmits }>(({ receive }) =>
      receive(({ fact }) => emitted.push(fact)),
    ),
  ).start()
  const clock = new SimulatedClock()
  const actor = createActor(
    pluginRunMachine.provide({
      actors: {
        prepare: fromPromise(
          () =>
            new Promise((resolve, reject) => {
              prepared = { resolve, reject }
            }),
        ),
        play: fromCallback(({ sendBack }) => {
          emit = sendBack
          playing += 1
          return () => {
            playing -= 1
          }
        }),
        finalize: fromPromise(async ({ input }) => void settled.push(input.members)),
      },
    }),
    { clock, input: { command, signal: new AbortController().signal, parent: parent as PluginRunInput['parent'] } },
  ).start()
  return {
    actor,
    clock,
    emitted,
    settled,
    emit: (event: PlayEvent) => emit(event),
    playing: () => playing,
    prepared: () => prepared as NonNullable<typeof prepared>,
    last: () => emitted.at(-1) as PluginRunnerEmits & { members: MemberResult[]; code?: string },
  }
}

test('a run prepares, plays, finalizes and emits one result for each member', async () => {
  const run = createFixture()
  run.prepared().resolve(plan)
  await nextTick()
  run.emit(step('a', 'running'))
  run.emit(step('a', 'changed'))
  run.emit(step('b', 'ok'))
  run.emit({
    type: 'play.ended',
    stats: {
      a: { ok: 1, changed: 1, failures: 0, unreachable: 0 },
      b: { ok: 1, changed: 0, failures: 0, unreachable: 0 },
    },
  })
  await nextTick()
  assert.deepEqual(
    run.emitted.map(({ type }) => type),
    ['plugin.started', 'plugin.progress', 'plugin.progress', 'plugin.progress', 'plugin.finished'],
  )
  assert.deepEqual(
    run.last().members.map(({ member, status, done, changed }) => [member, status, done, changed]),
    [
      ['a', 'ok', 1, 1],
      ['b', 'ok', 1, 0],
    ],
  )
  assert.equal(run.settled.length, 1)
  assert.equal(run.playing(), 0)
  assert.equal(run.actor.getSnapshot().status, 'done')
})

test('a run that cannot be prepared fails with its reason and finalizes nothing', async () => {
  const run = createFixture()
  run.prepared().reject(new Error('no such thing'))
  await nextTick()
  assert.deepEqual(
    run.emitted.map(({ type }) => type),
    ['plugin.runFailed'],
  )
  assert.deepEqual([run.last().code, run.last().members, run.settled.length], ['internal', [], 0])
})

test('an abandoned run stops its play, and its last fact says what was done', async () => {
  const run = createFixture()
  run.prepared().resolve(plan)
  await nextTick()
  run.emit(step('a', 'changed'))
  run.actor.send({ type: 'run.abandon' })
  await nextTick()
  assert.equal(run.playing(), 0)
  assert.equal(run.last().code, 'interrupted')
  assert.deepEqual(
    run.last().members.map(({ status, done }) => [status, done]),
    [
      ['stopped', 1],
      ['stopped', 0],
    ],
  )
  assert.deepEqual(run.settled[0], run.last().members)
})

test('a run that is abandoned while it prepares is finalized, and nothing is played', async () => {
  const run = createFixture()
  run.actor.send({ type: 'run.abandon' })
  run.prepared().resolve(plan)
  await nextTick()
  assert.deepEqual(
    run.emitted.map(({ type }) => type),
    ['plugin.runFailed'],
  )
  assert.deepEqual([run.last().code, run.settled.length, run.playing()], ['interrupted', 1, 0])
})

test('a run that exceeds its timeout is stopped with its code', async () => {
  const run = createFixture()
  run.prepared().resolve(plan)
  await nextTick()
  run.clock.increment(4_999)
  assert.equal(run.playing(), 1)
  run.clock.increment(1)
  await nextTick()
  assert.deepEqual([run.playing(), run.last().code], [0, 'plugin_timed_out'])
})

test('a play that is aborted fails with its own reason', async () => {
  const run = createFixture()
  run.prepared().resolve(plan)
  await nextTick()
  run.emit({ type: 'play.failed', failure: { code: 'program_missing', message: 'no ansible' } })
  await nextTick()
  assert.deepEqual([run.last().code, run.settled.length], ['program_missing', 1])
})

const result: MemberResult = {
  ...(plan.members[0] as MemberResult),
  status: 'stopped',
  done: 0,
  changed: 0,
  message: '',
}

test('the result of a member follows from its steps and counts', () => {
  const after = (...steps: Partial<TaskStep>[]) =>
    steps.reduce(
      (seen, more) => withStep(seen, { member: 'a', task: 't', item: '', status: 'ok', message: '', ...more }),
      result,
    )
  assert.deepEqual([after({}, { status: 'changed' }).done, after({}, { status: 'changed' }).changed], [2, 1])
  assert.equal(after({ item: '7' }).done, 0, 'an element of a loop is not a task')
  assert.equal(after({ member: 'b' }).done, 0)
  assert.equal(after({ status: 'ignored' }).status, 'stopped')
  assert.deepEqual(
    [after({ status: 'failed', message: 'no' }).status, after({ status: 'failed', message: 'no' }).message],
    ['failed', 't: no'],
  )
  const rescued = memberResult(after({ status: 'failed', message: 'no' }), {
    a: { ok: 2, changed: 0, failures: 0, unreachable: 0 },
  })
  assert.deepEqual([rescued.status, rescued.message, rescued.done], ['ok', '', 2])
  assert.equal(memberResult(result, { a: { ok: 1, changed: 0, failures: 1, unreachable: 1 } }).status, 'unreachable')
  assert.equal(memberResult(result, { a: { ok: 1, changed: 0, failures: 1, unreachable: 0 } }).status, 'failed')
  assert.equal(memberResult(result, {}).status, 'untouched')
})

test('the failure of a run names every member that failed', () => {
  assert.equal(runResult('x', [{ ...result, status: 'ok' }]), undefined)
  const failure = runResult('x', [
    { ...result, status: 'ok' },
    { ...result, member: 'b', status: 'unreachable', message: 'gone' },
  ])
  assert.equal(failure?.code, 'plugin_failed')
  assert.match(failure?.message ?? '', /"x" failed on 1 of 2 containers: b \(unreachable\) gone/)
})

test('the concern starts one child for each request, forwards its facts, and forgets it at the end', () => {
  const input = { signal: new AbortController().signal }
  const [start] = initialTransition(pluginRunnerMachine, input)
  const list = { type: 'plugin.list', requestId: 'q', caller: 'owner' } as const
  const [busy, actions] = transition(pluginRunnerMachine, start, list)
  const underWay = ({ context }: typeof busy) => context.requests.map(({ requestId }) => requestId)
  assert.deepEqual(underWay(busy), ['q'])
  assert.ok(actions.some(({ type }) => type === 'xstate.spawnChild'))
  const [again, none] = transition(pluginRunnerMachine, busy, list)
  assert.deepEqual([underWay(again), none.length], [['q'], 0])
  const [progressed] = transition(pluginRunnerMachine, busy, {
    type: 'run.emitted',
    fact: { type: 'plugin.started', requestId: 'q', name: 'x', members: [] },
  })
  assert.deepEqual(underWay(progressed), ['q'])
  const [ended, last] = transition(pluginRunnerMachine, busy, {
    type: 'run.emitted',
    fact: { type: 'plugin.listed', requestId: 'q', plugins: [] },
  })
  assert.deepEqual(underWay(ended), [])
  assert.ok(last.some(({ type }) => String(type) === 'xstate.stopChild'))
  const [, ignored] = transition(pluginRunnerMachine, start, { type: 'request.abandoned', requestId: 'q' })
  assert.equal(ignored.length, 0)
})

test('a repeated request is stopped only when nobody waits for it any more, and emits its finishing fact', () => {
  const [start] = initialTransition(pluginRunnerMachine, { signal: new AbortController().signal })
  const abandoned = { type: 'request.abandoned', requestId: 'r1' } as const
  let [snapshot, actions] = transition(pluginRunnerMachine, start, command)
  ;[snapshot, actions] = transition(pluginRunnerMachine, snapshot, command)
  ;[snapshot, actions] = transition(pluginRunnerMachine, snapshot, abandoned)
  assert.deepEqual([snapshot.context.requests[0]?.phase, actions.length], ['running', 0])
  ;[snapshot, actions] = transition(pluginRunnerMachine, snapshot, abandoned)
  assert.deepEqual(
    [snapshot.context.requests[0]?.phase, actions.map(({ type }) => String(type))],
    ['stopping', ['xstate.sendTo']],
  )
  ;[snapshot, actions] = transition(pluginRunnerMachine, snapshot, {
    type: 'run.emitted',
    fact: { type: 'plugin.runFailed', requestId: 'r1', members: [], code: 'interrupted', message: 'x' },
  })
  assert.deepEqual(snapshot.context.requests, [])
})
