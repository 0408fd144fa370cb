import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configuredHome, launched } from './cliHomes.ts'
import { freePort, p2prc, p2prcJson } from './processes.ts'

const NODES = 5

test('processes that were each told one address know each other; a killed one is gone; what one says, all show', async (t) => {
  const nodes = await Promise.all(
    Array.from({ length: NODES }, async () => ({ env: await configuredHome({ Test: true }), port: await freePort() })),
  )
  const first = `127.0.0.1:${nodes[0]?.port}`
  const running = nodes.map(({ env, port }, index) =>
    launched(
      t,
      env,
      'start',
      ...(index > 0 ? [first] : []),
      ...['--host', '127.0.0.1', '--port', String(port), '--json'],
    ),
  )
  await Promise.all(running.map(({ says }) => says(new RegExp(`"type":"table.changed","count":${NODES - 1}\\b`))))
  const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  const { code, stderr } = await p2prc(one.env, '--amd', 'hello "all"', '--json')
  assert.equal(code, 0, stderr)
  const said = running.slice(1).map(({ says }) => says(/"record.learned".*hello \\"all\\"/))
  await Promise.all(said)
  const { ip_address: listed } = await p2prcJson(two.env, 'ls')
  assert.equal(listed.length, NODES - 1)
  assert.ok(listed.some(({ CustomInformation }: { CustomInformation: string }) => CustomInformation === 'hello "all"'))

  const victim = running.at(-1)
  victim?.child.kill('SIGKILL')
  const { id } = JSON.parse(/^\{"type":"node.started".*$/m.exec(victim?.said ?? '')?.[0] ?? '{}')
  assert.match(id, /^SHA256:/)
  const gone = new RegExp(`"type":"peer.gone","peer":\\{"id":"${id.replaceAll(/[+/]/g, '\\$&')}"`)
  await Promise.all(running.slice(0, -1).map(({ says }) => says(gone)))
})

test('a node that is told what is no address does not start', async () => {
  const env = await configuredHome({})
  const { code, stderr } = await p2prc(env, 'start', 'no such:host:9')
  assert.notEqual(code, 0)
  assert.match(stderr, /no such:host:9/)
})
