import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { holderOf } from '../../actors/home/lockHolder.ts'
import { bareHome, launched, recordOf, remember, unlocked } from '../support/cliHomes.ts'
import { openFakeShell } from '../support/fakeShell.ts'
import { p2prc, p2prcJson } from '../support/processes.ts'

/** Commands on a home on which no node runs share a temporary one. */

/** A command that waits for ever fails its own test. */
const limit = { timeout: 60_000 }

/** A home with a group of one container, in which a command can wait until a fifo is written. */
async function homeWithGroup(t: TestContext) {
  const env = bareHome()
  const { key } = await p2prcJson(env, 'id')
  const shell = await openFakeShell(key)
  t.after(() => shell.stop())
  remember(env, recordOf('0a1', shell.port, shell.hostKey))
  await p2prcJson(env, 'group', 'create', '0a1', '--name', 'farm')
  const waiting = (name: string, ...options: string[]) => {
    const fifo = join(env.P2PRC, name)
    execFileSync('mkfifo', [fifo])
    const run = launched(t, env, 'group', 'exec', 'farm', ...options, '--', `echo ${name} began; exec cat ${fifo}`)
    // In a process of its own, because it waits until the command reads, which one that was killed never does.
    const end = () => {
      const writer = spawn('sh', ['-c', 'echo done >"$0"', fifo])
      t.after(() => writer.kill('SIGKILL'))
    }
    return Object.assign(run, { begun: run.printed(`${name} began`), end })
  }
  return { env, shell, waiting }
}

test('a long command lets others in, and ends before one that outlives it', limit, async (t) => {
  const { env, waiting } = await homeWithGroup(t)
  const first = waiting('first')
  await first.begun
  const { TrackContainer } = await p2prcJson(env, 'ps')
  assert.equal(TrackContainer.length, 1)
  const second = waiting('second')
  await second.begun
  first.end()
  assert.equal(await first.ended, 0, first.text)
  assert.equal((await p2prcJson(env, 'trust', 'ls')).length, 0, 'the second one still lets others in')
  second.end()
  assert.equal(await second.ended, 0, second.text)
  // Nobody waits for the end of a node that outlived the command that had started it.
  await unlocked(env.P2PRC)
  assert.equal(existsSync(join(env.P2PRC, 'run/control.sock')), false)
})

test('while a command is at work there is no node: start, stop and events say so', limit, async (t) => {
  const { env, waiting } = await homeWithGroup(t)
  const first = waiting('first')
  await first.begun
  const started = await p2prc(env, 'start', '--port', '0')
  assert.equal(started.code, 7)
  assert.match(
    started.stderr,
    /Another command \(process \d+\) uses the home folder .* when the commands .* have ended/,
  )
  for (const command of ['stop', 'events']) {
    const { code, stderr } = await p2prc(env, command)
    assert.equal(code, 7)
    assert.match(stderr, /No node runs with this home folder/)
  }
  first.end()
  assert.equal(await first.ended, 0, first.text)
})

test('a command that is killed ends what it began, and the temporary node with it', limit, async (t) => {
  const { env, waiting, shell } = await homeWithGroup(t)
  const first = waiting('first')
  await first.begun
  assert.equal(holderOf(join(env.P2PRC, 'lock'))?.temporary, true)
  // The node lives on for another command, so that its end is not what ends the first.
  const second = waiting('second')
  await second.begun
  first.child.kill('SIGKILL')
  await shell.atMost(1)
  second.child.kill('SIGKILL')
  await shell.atMost(0)
  await unlocked(env.P2PRC)
})

test('group exec --json prints a line as an object when it comes, not at the end', limit, async (t) => {
  const { waiting } = await homeWithGroup(t)
  const first = waiting('first', '--json')
  await first.begun
  const [line] = first.text.split('\n')
  assert.deepEqual([JSON.parse(line ?? '').type, JSON.parse(line ?? '').line], ['group.output', 'first began'])
  first.end()
  assert.equal(await first.ended, 0, first.text)
})
