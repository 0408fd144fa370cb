import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { follow } from '../../bench/children.ts'
import { bareHome, isLocked } from '../support/cliHomes.ts'
import { p2prc } from '../support/processes.ts'

/** The real command line on a real terminal, which `script` opens, and which closes when it is killed. */

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')
const run = promisify(execFile)

/** Starts a node on a terminal and closes that. Its shell runs `onHangup` for the signal, and later tells the exit code. */
async function nodeWithoutTerminal(t: TestContext, onHangup: string) {
  const env = bareHome()
  const exitCode = join(env.P2PRC, 'exit-code')
  execFileSync('mkfifo', [exitCode])
  const start = `'${process.execPath}' '${cli}' start --host 127.0.0.1 --port 0`
  const script = spawn('script', ['-q', '-c', `${start} & ${onHangup}; wait $!; echo $? >'${exitCode}'`, '/dev/null'], {
    env: { ...process.env, SHELL: '/bin/sh', ...env },
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => script.kill('SIGKILL'))
  await follow(script).printed('ssh-')
  script.kill('SIGKILL')
  return { env, exited: async () => (await run('cat', [exitCode], { timeout: 30_000 })).stdout.trim() }
}

test('a node whose terminal is closed stops cleanly', async (t) => {
  // As a login shell does, this one passes the signal on.
  const { env, exited } = await nodeWithoutTerminal(t, `trap 'kill -HUP $!' HUP; wait`)
  assert.equal(await exited(), '0')
  assert.equal(isLocked(env.P2PRC), false)
})

test('a node to which nobody passes the signal runs on, though it cannot write any more', async (t) => {
  const { env, exited } = await nodeWithoutTerminal(t, `trap '' HUP`)
  const built = await p2prc(env, 'image', 'build')
  assert.equal(built.code, 6, 'of which a node tells its owner')
  const stopped = await p2prc(env, 'stop')
  assert.equal(stopped.code, 0, stopped.stderr)
  assert.equal(await exited(), '0')
})
