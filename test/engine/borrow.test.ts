import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { leftOf } from '../support/lender.ts'
import { p2prcJson, startNode, temporaryHome } from '../support/processes.ts'

/** The example program as a user runs it: plain Node, the built package, real nodes, the real engine, the real ssh. */

const example = resolve(import.meta.dirname, '../../examples/borrow.mjs')

async function borrow(t: TestContext, env: NodeJS.ProcessEnv, ...args: string[]) {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env
  const child = spawn(process.execPath, [example, ...args], { env: { ...inherited, ...env } })
  t.after(() => child.kill('SIGKILL'))
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => {
      output[name] += chunk
    })
  const code = await new Promise((done) => child.once('close', done))
  return { ...output, code }
}

test('examples/borrow.mjs takes a container, runs a command in it, and gives it back', async (t) => {
  const [lender, borrower] = [temporaryHome(), temporaryHome()]
  const [{ where }] = await Promise.all([startNode(t, lender), startNode(t, borrower)])
  const { id: lenderId } = await p2prcJson(lender, 'id')

  const refused = await borrow(t, borrower, where, 'id')
  assert.deepEqual([refused.code, refused.stdout], [1, ''])
  assert.match(refused.stderr, /^The lender does not trust this node to borrow\. .*p2prc trust add "/)

  const { key } = await p2prcJson(borrower, 'id')
  await p2prcJson(lender, 'trust', 'add', key)
  const { code, stdout, stderr } = await borrow(t, borrower, where, 'id -un; exit 7')
  assert.equal(code, 7, stderr)
  assert.match(stdout, /^ssh .*root@127\.0\.0\.1.*\nroot\n$/)
  assert.match(stderr, /\S/, 'the steps of the lender')
  assert.deepEqual((await p2prcJson(borrower, 'ps')).TrackContainer, [])
  assert.deepEqual(await leftOf(lenderId), [])
})

test('without a node of its own it says how to start one', async (t) => {
  const { code, stderr } = await borrow(t, temporaryHome(), '127.0.0.1:1')
  assert.equal(code, 1)
  assert.match(stderr, /^the node on this machine cannot be reached: nothing listens there\. .*p2prc start/)
})
