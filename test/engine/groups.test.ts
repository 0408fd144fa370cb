import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import Dockerode from 'dockerode'
import { p2prc, p2prcJson, startNode, temporaryHome } from '../support/processes.ts'

/** These tests use a group over two real lenders, with the real engine and the real ssh. */

const engine = new Dockerode()
const run = promisify(execFile)

async function lender(t: TestContext, key: string) {
  const env = temporaryHome()
  const { where } = await startNode(t, env)
  await p2prcJson(env, 'trust', 'add', key)
  const containerIds = async (): Promise<string[]> => (await p2prcJson(env, 'lent')).map(({ id }: { id: string }) => id)
  // Containers that the test left are removed.
  t.after(async () => {
    for (const id of await containerIds()) await p2prc(env, 'evict', id, '--yes')
  })
  return { where, containerIds }
}

async function exists(id: string): Promise<boolean> {
  const found = await engine.listContainers({ all: true, filters: { id: [id] } })
  return found.length > 0
}

test('three containers over two lenders: exec, a failing member, its repetition, ssh by name, and the return of all', async (t) => {
  const borrower = temporaryHome()
  const { key } = await p2prcJson(borrower, 'id')
  const lenders = [await lender(t, key), await lender(t, key)] as const
  const wheres = lenders.map(({ where }) => where)

  const made = await p2prc(borrower, 'group', 'create', '--name', 'farm', '--on', ...wheres, '--count', '3')
  assert.equal(made.code, 0, made.stderr)
  const group = JSON.parse(made.stdout)
  const ids: string[] = group.TrackContainer.map(({ ID }: { ID: string }) => ID)
  const whereOf = (id: string): string =>
    group.TrackContainer.find(({ ID }: { ID: string }) => ID === id)?.IpAddress ?? ''
  assert.deepEqual(ids.map(whereOf).sort(), [wheres[0], wheres[0], wheres[1]].sort())
  assert.match(made.stderr, new RegExp(`^${wheres[0]}: \\w`, 'm'), 'progress says on which machine')
  const shown = await p2prcJson(borrower, 'group', 'show', 'farm')
  for (const member of shown.TrackContainer) assert.equal(member.State, 'running')

  const ran = await p2prc(borrower, 'group', 'exec', 'farm', '--json', '--', 'hostname')
  const facts = ran.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(facts.at(-1).failed, [])
  assert.equal(
    new Set(facts.flatMap(({ type, line }) => (type === 'group.output' ? [line] : []))).size,
    3,
    'three different machines',
  )

  // One member is killed without notice; the other two do their work.
  const [lost] = ids as [string]
  await engine.getContainer(lost).stop({ t: 0 })
  const bad = await p2prc(borrower, 'group', 'exec', 'farm', '--', 'touch /data/mark; ls /data')
  assert.equal(bad.code, 5, bad.stderr)
  assert.equal(bad.stdout.match(/ \| mark$/gm)?.length, 2)
  assert.match(
    bad.stderr,
    new RegExp(`p2prc: 1 of 3 containers failed.*\\np2prc: ${lost.slice(0, 12)}: .*cannot be reached`),
  )
  await untilShown(borrower, 'farm', (states) => states.get(lost) === 'stopped')
  await engine.getContainer(lost).start()
  const again = await untilReached(() => p2prc(borrower, 'group', 'exec', 'farm', '--retry-failed', '--', 'echo back'))
  assert.deepEqual([again.code, again.stdout], [0, `${lost.slice(0, 12)} | back\n`], again.stderr)

  const { path, hosts } = await p2prcJson(borrower, 'ssh-config')
  assert.equal(hosts.length, 3)
  for (const [index, id] of ids.entries()) {
    const named = await run('ssh', ['-F', path, `farm-${index + 1}`, 'hostname'])
    const short = await run('ssh', ['-F', path, id.slice(0, 12), 'hostname'])
    assert.equal(named.stdout, short.stdout)
  }

  const removed = await p2prcJson(borrower, 'group', 'rm', 'farm', '--containers', '--yes')
  assert.deepEqual([...removed.Returned].sort(), [...ids].sort())
  for (const id of ids) assert.equal(await exists(id), false)
  for (const { containerIds } of lenders) assert.deepEqual(await containerIds(), [])
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
  assert.deepEqual(await p2prcJson(borrower, 'group', 'ls'), { Groups: [] })
  assert.deepEqual((await p2prcJson(borrower, 'ssh-config')).hosts, [])
})

/** Shows the group until its members are as expected: the lender learns of a change from the engine with a delay. */
async function untilShown(env: NodeJS.ProcessEnv, group: string, isWanted: (states: Map<string, string>) => boolean) {
  const deadline = performance.now() + 30_000
  for (;;) {
    const { TrackContainer } = await p2prcJson(env, 'group', 'show', group)
    const states = new Map<string, string>(TrackContainer.map(({ ID, State }: Record<string, string>) => [ID, State]))
    if (isWanted(states)) return
    assert.ok(performance.now() < deadline, JSON.stringify([...states]))
  }
}

/** The container's own SSH server takes a moment to listen again. */
async function untilReached(exec: () => ReturnType<typeof p2prc>): ReturnType<typeof p2prc> {
  const deadline = performance.now() + 30_000
  for (;;) {
    const ran = await exec()
    if (ran.code === 0 || performance.now() > deadline) return ran
  }
}

test('a group gets the nearest machine that answers, with a port, and shows a removed container as gone', async (t) => {
  const borrower = temporaryHome()
  const { key } = await p2prcJson(borrower, 'id')
  const near = await lender(t, key)
  await p2prcJson(borrower, 'add', near.where)
  const group = await p2prcJson(borrower, 'group', 'create', '--nearest', '1', '--count', '2', '--ports', '1')
  const ids: string[] = group.TrackContainer.map(({ ID }: { ID: string }) => ID)
  assert.equal(ids.length, 2)
  for (const { Container } of group.TrackContainer) assert.equal(Container.Ports.Port.length, 2)
  await engine.getContainer(ids[0] as string).remove({ force: true, v: true })
  await untilShown(borrower, group.ID, (states) => [...states.values()].join() === 'gone,running')
  // A member that is returned separately leaves the group.
  await p2prcJson(borrower, 'rm', ids[1] as string, '--yes')
  assert.equal((await p2prcJson(borrower, 'group', 'show', group.ID)).TrackContainer.length, 1)
  const rest = await p2prc(borrower, 'group', 'rm', group.ID, '--containers', '--yes')
  assert.equal(rest.code, 0, rest.stderr)
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
})
