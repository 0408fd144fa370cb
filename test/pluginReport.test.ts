import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createLiveLines,
  createRunView,
  followed,
  interruptedLines,
  type MemberRow,
  resultLines,
  rowLines,
  stepLine,
} from '../actors/terminal/pluginReport.ts'
import type { Terminal } from '../actors/terminal.ts'
import type { ContainerId } from '../protocol/ids.ts'
import type { MemberResult, PluginRunnerSays, TaskStep } from '../protocol/pluginRunner.ts'

const started: PluginRunnerSays = { type: 'plugin.started', requestId: 'r', name: 'x', members: ['a1', 'b22'] }
const step = (member: string, status: TaskStep['status'], more: Partial<TaskStep> = {}): PluginRunnerSays => ({
  type: 'plugin.progress',
  requestId: 'r',
  member,
  task: 'install',
  item: '',
  status,
  message: '',
  ...more,
})
const seen = (...facts: PluginRunnerSays[]) => [started, ...facts].reduce(followed, [] as readonly MemberRow[])

test('a row a member follows its steps', () => {
  assert.deepEqual(rowLines(seen(), 80), ['a1   0 done  waiting', 'b22  0 done  waiting'])
  const rows = seen(
    step('a1', 'running'),
    step('a1', 'ok'),
    step('b22', 'ok', { item: '7' }),
    step('a1', 'running', { task: 'start' }),
  )
  assert.deepEqual(rowLines(rows, 80), ['a1   1 done  running      start', 'b22  0 done  ok           install (7)'])
  assert.deepEqual(rowLines(rows, 12), ['a1   1 done', 'b22  0 done'])
})

test('plain lines tell each end of a task, and not its beginning', () => {
  const line = (more: Partial<TaskStep>) =>
    stepLine({ member: 'a1', task: 't', item: '', status: 'ok', message: '', ...more })
  assert.equal(line({ status: 'running' }), undefined)
  assert.equal(line({}), 'a1 ok: t')
  assert.equal(line({ status: 'failed', item: '7', message: 'no' }), 'a1 failed: t (7): no')
})

test('the end lists where to go, and what failed last', () => {
  const ok: MemberResult = {
    member: 'b22',
    id: 'b' as ContainerId,
    host: '2001:db8::7',
    ports: [{ internal: 8_000, external: 30_001 }],
    status: 'ok',
    done: 2,
    changed: 1,
    message: '',
  }
  assert.deepEqual(resultLines([{ ...ok, member: 'a1', status: 'failed', done: 1, message: 'install: no' }, ok]), [
    '✓ b22 ok: 2 tasks, 1 changed [2001:db8::7]:30001',
    '✗ a1 failed: 1 task, 1 changed: install: no',
  ])
})

test('after Ctrl-C it still says what was done', () => {
  assert.deepEqual(interruptedLines(seen(step('a1', 'ok'), step('a1', 'running', { task: 'long' }))), [
    '✗ a1: 1 task done, stopped in "long"',
    '✗ b22: 0 tasks done',
  ])
})

test('the live table draws over itself, and never more than the screen holds', () => {
  const written: string[] = []
  const live = createLiveLines({ write: (text) => written.push(text), columns: 80, rows: 3 })
  live.draw(seen())
  live.draw(seen())
  live.clear()
  live.clear()
  assert.equal(written.join(''), 'a1   0 done  waiting\n\u001b[1A\u001b[Ja1   0 done  waiting\n\u001b[1A\u001b[J')
})

test('a run is plain lines in a pipe, facts with --json, and a table on a screen', () => {
  const show = (json: boolean, isTTY: boolean) => {
    const lines: unknown[] = []
    const screen: string[] = []
    const terminal = { json, line: (fact: unknown, text: string) => void lines.push(json ? fact : text) }
    const view = createRunView(terminal as Terminal, { isTTY, write: (text: string) => screen.push(text) })
    for (const fact of [started, step('a1', 'running'), step('a1', 'ok')]) view.hear(fact)
    return { view, lines, screen }
  }
  const piped = show(false, false)
  assert.deepEqual([piped.lines, piped.screen], [['a1 ok: install'], []])
  piped.view.end(undefined)
  assert.deepEqual(piped.lines.slice(1), ['✗ a1: 1 task done, last "install" (ok)', '✗ b22: 0 tasks done'])
  const json = show(true, true)
  json.view.end(undefined)
  assert.deepEqual([json.lines.length, json.screen], [3, []])
  const live = show(false, true)
  assert.deepEqual([live.lines, live.screen.filter((text) => text.startsWith('a1')).length], [[], 3])
})

test('a failed run lists its members by the fact that said so', () => {
  const lines: string[] = []
  const view = createRunView({ json: false, line: (_, text) => void lines.push(text) } as Terminal, { write: () => {} })
  const member: MemberResult = {
    member: 'a1',
    id: 'a' as ContainerId,
    host: 'h',
    ports: [],
    status: 'failed',
    done: 1,
    changed: 0,
    message: 'install: no',
  }
  view.hear(started)
  view.hear({ type: 'plugin.runFailed', requestId: 'r', members: [member], code: 'plugin_failed', message: 'x' })
  view.end(undefined)
  assert.deepEqual(lines, ['✗ a1 failed: 1 task, 0 changed: install: no'])
})
