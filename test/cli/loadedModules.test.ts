import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { freePort, p2prc, startNode, temporaryHome } from '../support/processes.ts'

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

test('a node loads the libraries of domains only where ProxyPort is set, and those of certificates at the first one', async (t) => {
  const loadedByStart = async (change: object, ready: RegExp) => {
    const env = { ...(await configuredHome(change)), NODE_OPTIONS: `--require=${report}` }
    const node = launched(t, env, 'start', '--host', '127.0.0.1', '--port', '0')
    await node.printed(ready)
    node.child.kill('SIGINT')
    await once(node.child, 'close')
    return ['httpxy', 'acme-client', '@peculiar/x509', 'fastify'].filter((name) =>
      node.text.includes(`./lib/${name}.js`),
    )
  }
  assert.deepEqual(await loadedByStart({}, /listens on/), ['fastify'])
  const ProxyPort = String(await freePort())
  assert.deepEqual(await loadedByStart({ ProxyPort }, new RegExp(`shows domains on port ${ProxyPort}`)), [
    'httpxy',
    'fastify',
  ])
})
