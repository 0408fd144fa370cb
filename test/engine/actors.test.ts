import assert from 'node:assert/strict'
import { test } from 'node:test'
import { actorsText } from '../../cli/actorCommands.ts'
import { commandsByConcern } from '../../protocol/index.ts'
import type { ActorView } from '../../protocol/node.ts'
import { configuredHome } from '../support/cliHomes.ts'
import { until } from '../support/lender.ts'
import { p2prc, p2prcJson, startNode } from '../support/processes.ts'

/** `p2prc actors` on a real node that lends a container on the real engine and has three peers. */

interface GossipView {
  links: { phase: string; name: string }[]
  members: { name: string; status: string }[]
  count: Record<string, number>
}

test('actors: every concern, the container by its path, and gossip with three active links and four members', async (t) => {
  // `Test` permits peers on loopback. The lender alone has the engine.
  const [home, ...others] = await Promise.all(
    ['lender', 'one', 'two', 'three'].map((MachineName) => configuredHome({ Test: true, MachineName })),
  )
  assert.ok(home && others.length === 3)
  const lender = { P2PRC: home.P2PRC }
  const { where } = await startNode(t, lender)
  const borrower = others[0] as NodeJS.ProcessEnv
  const { key } = await p2prcJson(borrower, 'id')
  await p2prcJson(lender, 'trust', 'add', key)
  for (const other of others) await startNode(t, other, where)
  t.after(async () => {
    for (const { id } of await p2prcJson(lender, 'lent')) await p2prc(lender, 'evict', id, '--yes')
  })
  const { ID } = await p2prcJson(borrower, 'touch', where)

  const gossip = async (): Promise<GossipView> => (await p2prcJson(lender, 'actors', 'gossip')).actors[0].context
  await until(async () => {
    const { links, members } = await gossip()
    return links.filter(({ phase }) => phase === 'active').length === 3 && members.length === 4
  })
  const { links, members, count } = await gossip()
  assert.deepEqual(links.map(({ name }) => name).sort(), ['one', 'three', 'two'])
  assert.deepEqual(members.map(({ name, status }) => `${name} ${status}`).sort(), [
    'lender alive',
    'one alive',
    'three alive',
    'two alive',
  ])
  assert.deepEqual(count, { alive: 4, suspected: 0, left: 0, dead: 0 })

  const listed = await p2prcJson(lender, 'actors')
  const actors: ActorView[] = listed.actors
  const concerns = Object.keys(commandsByConcern).filter((concern) => concern !== 'node')
  assert.deepEqual([...new Set(actors.map(({ concern }) => concern))].sort(), concerns.sort())
  const container = actors.find(({ machine }) => machine === 'container')
  assert.ok(container, JSON.stringify(actors.map(({ path }) => path)))
  assert.ok(container.path.startsWith('containerManager/'))
  assert.match(container.state, /running/)
  assert.ok(JSON.stringify(container.context).includes(ID))
  assert.match(container.transitions.at(-1)?.to ?? '', /running/)
  assert.doesNotMatch(JSON.stringify(listed), /PRIVATE KEY/)
  // One actor by its path, part of a path, and the table that a person sees of them.
  assert.deepEqual(
    (await p2prcJson(lender, 'actors', container.path)).actors.map(({ path }: ActorView) => path),
    [container.path],
  )
  const running = await p2prcJson(lender, 'actors', 'RUNNING')
  assert.ok(running.actors.some(({ path }: ActorView) => path === container.path))
  const table = actorsText({ actors, omitted: 0 }, '', (_, text) => text).split('\n')
  assert.equal(table.length, 1 + actors.length)
  assert.match(table[0] as string, /^ACTOR +MACHINE +STATE +AGE +LAST EVENT$/)
})
