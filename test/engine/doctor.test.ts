import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findingsOf, p2prc, startNode, temporaryHome } from '../support/processes.ts'

test('a node that lends is well, and doctor ends with 0', async (t) => {
  const home = temporaryHome()
  const built = await p2prc(home, 'image', 'build')
  assert.equal(built.code, 0, built.stderr)
  await startNode(t, home)
  const { code, document, of } = await findingsOf(home)
  assert.deepEqual([code, document.well, document.broken], [0, true, undefined], JSON.stringify(document))
  assert.deepEqual(
    ['disk', 'engine', 'image', 'port'].map((check) => of(check)?.state),
    ['ok', 'ok', 'ok', 'ok'],
  )
})
