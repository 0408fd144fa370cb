import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { isRunning } from '../../actors/home/lockHolder.ts'
import { type FactOf, openFakeBorrower, refusal } from '../support/fakeBorrower.ts'
import { HOST_KEY, idOf } from '../support/fakeLender.ts'
import { openFakeShell } from '../support/fakeShell.ts'
import { until } from '../support/lender.ts'

/** Opens a group of `count` members whose shells are real SSH servers on loopback. */
async function openGroup(context: TestContext, count: number) {
  const borrower = await openFakeBorrower(context)
  const shells = []
  for (let number = 0; number < count; number += 1) {
    const shell = await openFakeShell(borrower.identity.publicKey)
    context.after(() => shell.stop())
    shells.push(shell)
    borrower.lender.script.hostKey = shell.hostKey
    borrower.lender.script.sshPort = shell.port
    await borrower.send('loan.take', { where: borrower.lender.address })
  }
  const members = shells.map((_, index) => idOf(index + 1))
  await borrower.send('group.create', { name: 'farm', members })
  const exec = (command: string[], payload: object = {}) =>
    borrower.send('group.exec', { id: 'farm', command, ...payload }) as Promise<FactOf<'group.executed'>>
  return { ...borrower, shells, exec }
}

test('a command runs on every member over the real ssh, with its lines and results', async (context) => {
  const { exec, events } = await openGroup(context, 3)
  const { results, failed } = await exec(['echo out; echo err >&2'])
  assert.deepEqual(
    results,
    [1, 2, 3].map((number) => ({ id: idOf(number), exit: 0 })),
  )
  assert.deepEqual(failed, [])
  const lines = events.flatMap((event) =>
    event.type === 'group.output' ? [`${event.id[3]} ${event.stream} ${event.line}`] : [],
  )
  assert.deepEqual(
    lines.sort(),
    [1, 2, 3].flatMap((number) => [`${number} stderr err`, `${number} stdout out`]),
  )
  assert.equal(events.filter(({ type }) => type === 'group.memberEnded').length, 3)
})

test('several words reach the program unchanged, and one word is a line for the shell', async (context) => {
  const { exec, events } = await openGroup(context, 1)
  const folder = await mkdtemp(join(tmpdir(), 'p2prc-exec-'))
  context.after(() => rm(folder, { recursive: true }))
  const words = ['$HOME', '"; touch X; "', "it's", 'a  b', '', '-n']
  await exec(['printf', '[%s]', ...words])
  await exec([`echo one | tee ${folder}/two`])
  const lines = events.flatMap((event) => (event.type === 'group.output' ? [event.line] : []))
  assert.deepEqual(lines, [words.map((word) => `[${word}]`).join(''), 'one'])
  assert.equal(await readFile(join(folder, 'two'), 'utf8'), 'one\n')
})

test('failed members are named, and only they are repeated', async (context) => {
  const { exec, shells, read } = await openGroup(context, 3)
  await shells[2]?.stop()
  const { results, failed } = await exec(['exit 3'])
  assert.deepEqual(
    results.map(({ exit, failure }) => exit ?? failure?.code),
    [3, 3, 'unreachable'],
  )
  assert.deepEqual(failed, [idOf(1), idOf(2), idOf(3)])
  const again = await exec(['true'], { retryFailed: true })
  assert.deepEqual(again.failed, [idOf(3)])
  assert.deepEqual(JSON.parse(await read('groups.json')).Groups[0].LastFailed, [idOf(3)])
  assert.deepEqual(JSON.parse(await read('groups.json')).Groups[0].LastCommand, ['true'])
  const last = await exec([], { retryFailed: true })
  assert.deepEqual(
    last.results.map(({ id }) => id),
    [idOf(3)],
  )
})

test('an empty group and an empty command are rejected; a repetition without failures does nothing', async (context) => {
  const { exec, send } = await openGroup(context, 1)
  await exec(['true'])
  assert.deepEqual((await exec(['true'], { retryFailed: true })).results, [])
  assert.deepEqual((await exec([], { retryFailed: true })).results, [])
  assert.equal(await refusal(exec([])), 'bad_request')
  await send('group.remove', { id: 'farm', members: [idOf(1)] })
  assert.equal(await refusal(exec(['true'])), 'group_empty')
})

test('a server with another host key receives no command', async (context) => {
  const { exec, tracker, send, lender, path, read } = await openGroup(context, 1)
  const { port } = new URL(`http://127.0.0.1:${(await read('known hosts')).match(/:(\d+) /)?.[1]}`)
  lender.script.hostKey = HOST_KEY
  lender.script.sshPort = Number(port)
  await send('loan.take', { where: lender.address })
  assert.ok((await read('known hosts')).includes(`:${port} ${HOST_KEY.slice(0, 40)}`))
  const marker = path('marker')
  const { results } = await exec([`touch '${marker}'`])
  assert.equal(results[0]?.failure?.code, 'unreachable')
  assert.match(results[0]?.failure?.message ?? '', /[Hh]ost key/)
  assert.equal(await read('marker'), '')
  assert.equal(tracker.loans.all().length, 2)
})

test('Ctrl-C ends the ssh processes', { timeout: 20_000 }, async (context) => {
  const { send, bus, shells } = await openGroup(context, 2)
  const abort = new AbortController()
  const begun = new Promise((done) => bus.on('group.output', done))
  const answer = send('group.exec', { id: 'farm', command: ['echo begun; exec sleep 120'] }, { signal: abort.signal })
  await begun
  abort.abort()
  assert.equal(await refusal(answer), 'abandoned')
  await Promise.all(shells.map((shell) => shell.atMost(0)))
})

test('Ctrl-C ends the command on the member, and what it started', { timeout: 30_000 }, async (context) => {
  const { send, bus } = await openGroup(context, 1)
  const abort = new AbortController()
  const begun = new Promise<number>((done) => bus.on('group.output', ({ line }) => done(Number(line))))
  const command = ["sh -c 'echo $$; exec sleep 120'; true"]
  const answer = send('group.exec', { id: 'farm', command }, { signal: abort.signal })
  const pid = await begun
  assert.equal(isRunning(pid), true)
  abort.abort()
  assert.equal(await refusal(answer), 'abandoned')
  await until(async () => !isRunning(pid))
})
