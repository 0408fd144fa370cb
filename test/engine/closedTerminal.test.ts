import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { follow } from '../../bench/children.ts'
import { bareHome, isLocked, unlocked } from '../support/cliHomes.ts'
import { createEngineProxy } from '../support/engineProxy.ts'
import { leftOf, until } from '../support/lender.ts'
import { p2prc, p2prcJson, startNode, temporaryHome } from '../support/processes.ts'

/** The real command line on a real terminal, which `script` opens, and which closes when it is killed. */

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')
const run = promisify(execFile)
const start = ['start', '--host', '127.0.0.1', '--port', '0']

/** As a login shell does, this one passes the signal on. */
const PASS_ON = `trap 'kill -HUP $!' HUP; wait`

/** Starts a command on a terminal. Its shell runs `onHangup` for the signal, and later tells the exit code. */
function onTerminal(t: TestContext, env: NodeJS.ProcessEnv, args: readonly string[], onHangup: string) {
  const exitCode = join(env.P2PRC as string, 'exit-code')
  execFileSync('mkfifo', [exitCode])
  const command = [process.execPath, cli, ...args].map((word) => `'${word}'`).join(' ')
  const script = spawn(
    'script',
    ['-q', '-c', `${command} & ${onHangup}; wait $!; echo $? >'${exitCode}'`, '/dev/null'],
    { env: { ...process.env, SHELL: '/bin/sh', ...env }, stdio: ['pipe', 'pipe', 'inherit'] },
  )
  const close = () => script.kill('SIGKILL')
  t.after(close)
  const exited = async () => (await run('cat', [exitCode], { timeout: 30_000 })).stdout.trim()
  return { output: follow(script), close, exited }
}

/** Starts a node on a terminal and closes that. */
async function nodeWithoutTerminal(t: TestContext, onHangup: string) {
  const env = bareHome()
  const { output, close, exited } = onTerminal(t, env, start, onHangup)
  await output.printed('ssh-')
  close()
  return { env, exited }
}

/** A home that lends by an engine which a test can hold up, and one that it trusts. */
async function holdableLender(t: TestContext) {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  const [home, borrower] = [temporaryHome(), temporaryHome()]
  const { key } = await p2prcJson(borrower, 'id')
  await p2prcJson(home, 'trust', 'add', key)
  const { id } = await p2prcJson(home, 'id')
  const lender: NodeJS.ProcessEnv = { ...home, DOCKER_HOST: `unix://${proxy.socketPath}` }
  return {
    lender,
    borrower,
    id,
    holdStart: () => proxy.hold(/^POST \/containers\/\w+\/start/),
    /** Removes what a test that failed left. Its node has ended by then. */
    async removeContainers() {
      for (const one of await p2prcJson(home, 'lent')) await p2prc(home, 'evict', one.id, '--yes')
    },
  }
}

test('a node whose terminal is closed stops cleanly', async (t) => {
  const { env, exited } = await nodeWithoutTerminal(t, PASS_ON)
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

// A node that runs on has nothing else that would end the request.
for (const beside of ['', ', also beside a running node'])
  test(`a terminal that is closed in the middle of a take leaves no container${beside}`, async (t) => {
    const { lender, borrower, id, holdStart, removeContainers } = await holdableLender(t)
    const { where } = await startNode(t, lender)
    t.after(removeContainers)
    if (beside) await startNode(t, borrower)
    const held = holdStart()
    const { close, exited } = onTerminal(t, borrower, ['touch', where], PASS_ON)
    const pass = await held
    close()
    assert.equal(await exited(), '130')
    pass()
    await until(async () => (await leftOf(id)).length === 0)
    assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
  })

test('a lender whose terminal is closed in the middle of a take leaves no container either', async (t) => {
  const { lender, borrower, id, holdStart, removeContainers } = await holdableLender(t)
  const { output, close, exited } = onTerminal(t, lender, start, PASS_ON)
  t.after(removeContainers)
  await output.printed(/listens on 127\.0\.0\.1:\d+\D/)
  const held = holdStart()
  const taken = p2prc(borrower, 'touch', `127.0.0.1:${/listens on 127\.0\.0\.1:(\d+)/.exec(output.text)?.[1]}`)
  const pass = await held
  close()
  // The borrower hears of it before the engine goes on.
  assert.equal((await taken).code, 5)
  pass()
  assert.equal(await exited(), '0')
  await unlocked(lender.P2PRC as string)
  assert.deepEqual(await leftOf(id), [])
})

test('a borrower that is gone for good in the middle of a take: the lender removes what it made, and says so', {
  timeout: 120_000,
}, async (t) => {
  const { lender, id, holdStart, removeContainers } = await holdableLender(t)
  const { where, printed } = await startNode(t, lender, '--open')
  t.after(removeContainers)
  const held = holdStart()
  const gone = new AbortController()
  const taken = fetch(`http://${where}/startcontainer?ports=0`, { signal: gone.signal })
  const pass = await held
  gone.abort()
  await assert.rejects(taken)
  // The lender has heard of it by the time it answers another one.
  await fetch(`http://${where}/server_info`)
  pass()
  await printed(/The borrower hung up; its unfinished container was removed\./)
  await until(async () => (await leftOf(id)).length === 0)
})
