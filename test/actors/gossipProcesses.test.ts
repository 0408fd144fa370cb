import assert from 'node:assert/strict'
import { test } from 'node:test'
import { configuredHome, launched } from '../support/cliHomes.ts'
import { p2prc, p2prcJson } from '../support/processes.ts'

const NODES = 5

const STARTED = /^.*"type":"node\.started".*$/m

/** Returns the `node.started` fact in the output of a node. */
function started(text: string): { id: string; addresses: string[] } {
  return JSON.parse(STARTED.exec(text)?.[0] ?? '{}')
}

test('processes that start with one address learn each other, drop a killed one, and all show the text of one owner', async (t) => {
  const homes = await Promise.all(Array.from({ length: NODES }, () => configuredHome({ Test: true })))
  const [one, two] = homes as [(typeof homes)[0], (typeof homes)[0]]
  const start = (env: NodeJS.ProcessEnv, ...args: string[]) =>
    launched(t, env, 'start', ...args, '--host', '127.0.0.1', '--port', '0', '--json')
  const first = start(one)
  await first.printed(STARTED)
  const [address] = started(first.text).addresses
  const running = [first, ...homes.slice(1).map((env) => start(env, address as string))]
  await Promise.all(running.map(({ printed }) => printed(new RegExp(`"type":"table.changed","count":${NODES - 1}\\b`))))
  const { code, stderr } = await p2prc(one, '--amd', 'hello "all"', '--json')
  assert.equal(code, 0, stderr)
  const text = running.slice(1).map(({ printed }) => printed(/"record.merged".*hello \\"all\\"/))
  await Promise.all(text)
  const { ip_address: listed } = await p2prcJson(two, 'ls')
  assert.equal(listed.length, NODES - 1)
  assert.ok(listed.some(({ CustomInformation }: { CustomInformation: string }) => CustomInformation === 'hello "all"'))

  const victim = running.at(-1)
  victim?.child.kill('SIGKILL')
  const { id } = started(victim?.text ?? '')
  assert.match(id, /^SHA256:/)
  const gone = new RegExp(`"type":"peer.gone","peer":\\{"id":"${id.replaceAll(/[+/]/g, '\\$&')}"`)
  await Promise.all(running.slice(0, -1).map(({ printed }) => printed(gone)))
})

test('a node with an invalid bootstrap address does not start', async () => {
  const env = await configuredHome({})
  const { code, stderr } = await p2prc(env, 'start', 'no such:host:9')
  assert.notEqual(code, 0)
  assert.match(stderr, /no such:host:9/)
})
