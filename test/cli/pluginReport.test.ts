import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLiveLines } from '../../cli/liveLines.ts'
import {
  createRunView,
  interruptedLines,
  type MemberRow,
  resultLines,
  rowLines,
  stepLine,
  updatedRows,
} from '../../cli/pluginReport.ts'
import type { Terminal } from '../../cli/terminal.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { MemberResult, PluginRunnerEmits, TaskStep } from '../../protocol/pluginRunner.ts'

const started: PluginRunnerEmits = { type: 'plugin.started', requestId: 'r', name: 'x', members: ['a1', 'b22'] }
const step = (member: string, status: TaskStep['status'], more: Partial<TaskStep> = {}): PluginRunnerEmits => ({
  type: 'plugin.progress',
  requestId: 'r',
  member,
  task: 'install',
  item: '',
  status,
  message: '',
  ...more,
})
const seen = (...facts: PluginRunnerEmits[]) => [started, ...facts].reduce(updatedRows, [] as readonly MemberRow[])

test('a row a member follows its steps', () => {
  assert.deepEqual(rowLines(seen()), ['a1   0 done  waiting', 'b22  0 done  waiting'])
  const rows = seen(
    step('a1', 'running'),
    step('a1', 'ok'),
    step('b22', 'ok', { item: '7' }),
    step('a1', 'running', { task: 'start' }),
  )
  const after = ['a1   1 done  running      start', 'b22  0 done  running      install (7)']
  assert.deepEqual(rowLines(rows), after, 'after an element of a loop comes the next one')
  assert.match(rowLines(seen(step('a1', 'failed', { item: '7' })))[0] as string, /failed {7}install \(7\)/)
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

test('live lines are drawn over, from the first column, and cut to the width and height of the screen', () => {
  const written: string[] = []
  const screen = { write: (text: string) => written.push(text), columns: 12, rows: 4 }
  const live = createLiveLines(screen)
  const output = () => written.splice(0).join('').replaceAll('\u001b[?7l', '').replaceAll('\u001b[?7h', '')
  live.draw(['one', 'two'])
  assert.equal(output(), 'one\ntwo\n')
  live.draw(['x'.repeat(20)])
  assert.equal(output(), `\r\u001b[2A\u001b[J${'x'.repeat(11)}\n`)
  live.draw(['1', '2', '3', '4', '5'], (line, index) => (index === 0 ? `<${line}>` : line))
  assert.equal(output(), '\r\u001b[1A\u001b[J<1>\n2\n… and 3 mor\n')
  live.clear()
  live.clear()
  assert.equal(output(), '\r\u001b[3A\u001b[J')
})

test('a window that was made narrower has broken the lines anew', () => {
  const written: string[] = []
  const screen = { write: (text: string) => written.push(text), columns: 30, rows: 24 }
  const live = createLiveLines(screen)
  live.draw(['x'.repeat(25), 'y'])
  screen.columns = 10
  live.clear()
  assert.equal(written.at(-1), '\r\u001b[4A\u001b[J')
})

test('a run is plain lines in a pipe, facts with --json, and a table on a screen', () => {
  const show = (json: boolean, isTTY: boolean) => {
    const lines: unknown[] = []
    const screen: string[] = []
    const line = (fact: unknown, text: string) => void lines.push(json ? fact : text)
    const terminal = { json, line, style: (_: string, text: string) => text }
    const view = createRunView(terminal as Terminal, { isTTY, write: (text: string) => screen.push(text) })
    for (const fact of [started, step('a1', 'running'), step('a1', 'ok')]) view.update(fact)
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
  assert.deepEqual([live.lines, live.screen.filter((text) => text.includes('a1 ')).length], [[], 3])
  live.view.update(step('a1', 'ok', { task: 'say', message: 'it answers on 8080' }))
  live.view.update(step('a1', 'failed', { task: 'next', message: 'no' }))
  assert.deepEqual(live.lines, ['a1: it answers on 8080'], 'what a task says stays on the screen')
})

test('a failed run lists its members by the fact that said so', () => {
  const lines: string[] = []
  const terminal = { json: false, line: (_, text) => void lines.push(text), style: (_, text) => text } as Terminal
  const view = createRunView(terminal, { write: () => {} })
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
  view.update(started)
  view.update({ type: 'plugin.runFailed', requestId: 'r', members: [member], code: 'plugin_failed', message: 'x' })
  assert.deepEqual(view.end(undefined), [member])
  assert.deepEqual(lines, ['✗ a1 failed: 1 task, 0 changed: install: no'])
})
