import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { p2prc, startNode, temporaryHome } from '../support/processes.ts'

/** What the bundle loads, which is most of the time that a command takes. */

const report = join(temporaryHome().P2PRC as string, 'report.cjs')
writeFileSync(
  report,
  `const Module = require('node:module')
const loaded = new Set()
const load = Module._load
Module._load = (name, ...rest) => {
  loaded.add(name)
  return load(name, ...rest)
}
process.on('exit', () => process.stderr.write([...loaded].slice(1).sort().join(' ')))
`,
)

async function loadedBy(env: NodeJS.ProcessEnv, ...args: string[]): Promise<string[]> {
  const { code, stderr } = await p2prc({ ...env, NODE_OPTIONS: `--require=${report}` }, ...args)
  assert.equal(code, 0, stderr)
  return stderr.split(' ')
}

test('a command that needs no node loads no HTTP', async () => {
  assert.deepEqual(await loadedBy(temporaryHome(), '--version'), ['node:util'])
})

test('a command to a running node loads HTTP, and neither the node nor what it needs', async (t) => {
  const env = temporaryHome()
  await startNode(t, env)
  const loaded = ['node:fs', 'node:http', 'node:net', 'node:os', 'node:path', 'node:timers/promises', 'node:util']
  assert.deepEqual(await loadedBy(env, 'ps'), loaded)
})
