import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actorsText } from '../../cli/actorCommands.ts'
import type { ActorView } from '../../protocol/node.ts'
import { bareHome, launched } from '../support/cliHomes.ts'
import { p2prc, p2prcJson, startNode } from '../support/processes.ts'

const plain = (_: string, text: string) => text
const now = 1_700_000_000_000
const gossip: ActorView = {
  path: 'gossip',
  concern: 'gossip',
  machine: 'gossip',
  state: 'connected',
  transitions: [
    { at: now - 90_000, to: 'isolated', event: 'xstate.init' },
    { at: now - 61_000, from: 'isolated', to: 'connected', event: 'stepped' },
  ],
  context: { links: [{ phase: 'active' }] },
}
const stepper: ActorView = {
  path: 'gossip/stepper',
  concern: 'gossip',
  machine: 'stepper',
  state: 'active',
  transitions: [],
}

test('a table of actors: path, machine, state, age and cause of the last transition, and how many are omitted', () => {
  assert.equal(
    actorsText({ actors: [gossip, stepper], omitted: 0 }, '', plain, now),
    [
      'ACTOR           MACHINE  STATE      AGE    LAST EVENT',
      'gossip          gossip   connected  1 min  stepped',
      'gossip/stepper  stepper  active',
    ].join('\n'),
  )
  assert.match(actorsText({ actors: [gossip, stepper], omitted: 7 }, '', plain, now), /\nand 7 more; see/)
  assert.equal(actorsText({ actors: [], omitted: 0 }, 'x', plain), 'No actor matches "x".')
  assert.equal(actorsText({ actors: [], omitted: 0 }, '', plain), 'The node has no actors now.')
})

test('one actor by its path: its context and its last transitions', () => {
  assert.equal(
    actorsText({ actors: [gossip], omitted: 0 }, 'gossip', plain, now),
    [
      'Actor    gossip',
      'Concern  gossip',
      'Machine  gossip',
      'State    connected',
      '',
      'TIME                      FROM      TO         EVENT',
      '2023-11-14T22:11:50.000Z            isolated   xstate.init',
      '2023-11-14T22:12:19.000Z  isolated  connected  stepped',
      '',
      'CONTEXT',
      '{\n  "links": [\n    {\n      "phase": "active"\n    }\n  ]\n}',
    ].join('\n'),
  )
  assert.equal(
    actorsText({ actors: [stepper], omitted: 0 }, 'gossip/stepper', plain, now)
      .split('\n')
      .at(-1),
    'State    active',
    'what it lacks is not shown',
  )
})

test('actors: only with a node; the whole documents as JSON, one by its path, none for a filter that matches nothing', async (t) => {
  const env = bareHome()
  const without = await p2prc(env, 'actors')
  assert.equal(without.code, 7, without.stderr)
  assert.match(without.stderr, /No node runs with this home/)
  await startNode(t, env)
  const { actors, omitted } = await p2prcJson(env, 'actors')
  assert.equal(omitted, 0)
  for (const { path, state, context } of actors) assert.ok(path && state && context !== undefined, path)
  assert.deepEqual(
    (await p2prcJson(env, 'actors', 'gossip')).actors.map(({ path }: ActorView) => path),
    ['gossip'],
  )
  assert.deepEqual(await p2prcJson(env, 'actors', 'no such actor'), { actors: [], omitted: 0 })
  const long = await p2prc(env, 'actors', 'x'.repeat(300))
  assert.equal(long.code, 2, long.stderr)
})

test('actors --watch: an object for each change until SIGINT', async (t) => {
  const env = bareHome()
  assert.match((await p2prc(env, 'actors', '--watch')).stderr, /No node runs with this home/)
  await startNode(t, env)
  const watching = launched(t, env, 'actors', 'trust', '--watch', '--json')
  await watching.printed(/^\{"actors":\[\{"path":"trust"/)
  const { key } = await p2prcJson(bareHome(), 'id')
  await p2prcJson(env, 'trust', 'add', key, '--name', 'friend')
  await watching.printed(/"friend"/)
  watching.child.kill('SIGINT')
  assert.equal(await watching.ended, 130)
  for (const line of watching.text.split('\n').filter((text) => text.startsWith('{'))) JSON.parse(line)
})
