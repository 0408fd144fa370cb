import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import Dockerode from 'dockerode'
import { createEngineProxy } from '../support/engineProxy.ts'
import { leftOf, until } from '../support/lender.ts'
import {
  freePort,
  p2prc,
  p2prcJson,
  type RunningNode,
  spawnCli,
  startNode,
  temporaryHome,
} from '../support/processes.ts'

/** The main use case as two people perform it: with real nodes, the real engine and the real ssh. */

const engine = new Dockerode()

async function lenderAndBorrower(t: TestContext) {
  const [lender, borrower] = [temporaryHome(), temporaryHome()]
  const node = await startNode(t, lender)
  const { key } = await p2prcJson(borrower, 'id')
  await p2prcJson(lender, 'trust', 'add', key)
  t.after(() => removeContainers(lender))
  return { lender, borrower, node, where: node.where }
}

/** Removes every container that a test left in this home's node. */
async function removeContainers(lender: NodeJS.ProcessEnv): Promise<void> {
  for (const { id } of await p2prcJson(lender, 'lent')) {
    await p2prc(lender, 'evict', id, '--yes')
    assert.equal(await exists(id), false)
  }
}

async function exists(id: string): Promise<boolean> {
  return engine
    .getContainer(id)
    .inspect()
    .then(
      () => true,
      () => false,
    )
}

test('an anonymous caller is refused with the command that the lender has to run, and that command helps', async (t) => {
  const [lender, borrower] = [temporaryHome(), temporaryHome()]
  const { where } = await startNode(t, lender)
  t.after(() => removeContainers(lender))
  const refused = await p2prc(borrower, 'touch', where)
  assert.equal(refused.code, 4)
  const line = /p2prc trust add "([^"]+)"/.exec(refused.stderr)?.[1]
  assert.ok(line, refused.stderr)
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
  await p2prcJson(lender, 'trust', 'add', line)
  const { ID } = await p2prcJson(borrower, 'touch', where)
  await p2prcJson(borrower, 'rm', ID, '--yes')
})

test('a container is taken, listed, used and returned', async (t) => {
  const { lender, borrower, where } = await lenderAndBorrower(t)
  const taken = await p2prcJson(borrower, 'touch', where, '--ports', '2', '--udp-ports', '1')
  assert.match(taken.ID, /^[0-9a-f]{64}$/)
  const ports = taken.Ports.Port
  assert.deepEqual(
    ports.map((port: { PortName: string; Type: string }) => [port.PortName, port.Type]),
    [
      ['SSH', 'tcp'],
      ['AutoGen Port', 'tcp'],
      ['AutoGen Port', 'tcp'],
      ['AutoGen Port', 'udp'],
    ],
  )
  for (const port of ports.slice(1)) assert.equal(port.InternalPort, port.ExternalPort)
  assert.equal(taken.SSHPassword, '')
  assert.match(taken.SSHHostKey, /^ssh-ed25519 AAAA/)

  const [tracked] = (await p2prcJson(borrower, 'ps')).TrackContainer
  assert.deepEqual([tracked.ID, tracked.State, tracked.IpAddress], [taken.ID, 'running', where])
  const [container] = await p2prcJson(lender, 'lent')
  assert.deepEqual([container.id, container.state], [taken.ID, 'running'])

  // ssh neither prompts nor asks about the host key, because the key in the reply is pinned.
  const shell = await p2prc(borrower, 'ssh', taken.ID.slice(0, 10), '--', 'id -un; python3 -c "import shutil"; exit 7')
  assert.deepEqual([shell.stdout, shell.stderr, shell.code], ['root\n', '', 7])

  // The command is pasted into a shell on the borrower's machine, as a person would do.
  const pasted = spawnSync('sh', ['-c', `${taken.SSHCommand} id -un`], { encoding: 'utf8', input: '' })
  assert.deepEqual([pasted.stdout, pasted.stderr], ['root\n', ''])

  const gone = await p2prc(borrower, 'rm', taken.ID.slice(0, 12))
  assert.equal(gone.code, 2, 'without a terminal and without --yes nothing is removed')
  await p2prcJson(borrower, 'rm', taken.ID.slice(0, 12), '--yes')
  assert.equal(await exists(taken.ID), false)
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
  const again = await p2prc(borrower, 'rm', taken.ID, '--yes')
  assert.equal(again.code, 3)
})

test("P2PRC's flags do the same", async (t) => {
  const { borrower, where } = await lenderAndBorrower(t)
  const taken = JSON.parse((await p2prc(borrower, '--touch', where, '-p', '1')).stdout)
  const tracked = JSON.parse((await p2prc(borrower, '-tc')).stdout)
  assert.equal(tracked.TrackContainer[0].ID, taken.ID)
  assert.ok(JSON.parse((await p2prc(borrower, '--specs', where)).stdout).RAM > 0)
  const removed = await p2prc(borrower, '--rm', where, '--id', taken.ID)
  assert.deepEqual([removed.code, await exists(taken.ID)], [0, false])
})

test('without a key the reply has a password once, which works and is stored nowhere', async (t) => {
  const { lender, borrower, where, node } = await lenderAndBorrower(t)
  const taken = await p2prcJson(borrower, 'touch', where, '--password')
  const password: string = taken.SSHPassword
  assert.ok(password.length >= 22, '128 bits in base64 are 22 characters')
  const askpass = join(borrower.P2PRC as string, 'askpass')
  writeFileSync(askpass, `#!/bin/sh\necho '${password}'\n`)
  chmodSync(askpass, 0o700)
  const env = { ...borrower, SSH_ASKPASS: askpass, SSH_ASKPASS_REQUIRE: 'force', DISPLAY: ':0' }
  const shell = await p2prc(env, 'ssh', taken.ID, '--', 'id -un')
  assert.deepEqual([shell.stdout, shell.code], ['root\n', 0], shell.stderr)
  const kept = readFileSync(join(borrower.P2PRC as string, 'client/trackcontainers/trackcontainers.json'), 'utf8')
  assert.ok(!kept.includes(password))
  const inspected = JSON.stringify(await engine.getContainer(taken.ID).inspect())
  assert.ok(!inspected.includes(password))
  await node.stop()
  // The password, which is stored nowhere, is not needed to adopt the container again.
  await startNode(t, lender)
  assert.deepEqual(
    (await p2prcJson(lender, 'lent')).map(({ id }: { id: string }) => id),
    [taken.ID],
  )
})

test('rm: every word is an id, all are looked up first, and a machine is named with --on', async (t) => {
  const { lender, borrower, where } = await lenderAndBorrower(t)
  const ids: string[] = []
  for (let count = 0; count < 3; count += 1) ids.push((await p2prcJson(borrower, 'touch', where)).ID)
  const [a, b, c] = ids as [string, string, string]
  for (const words of [
    ['no-such-host', a],
    [a, 'fffffff'],
    [a, '--on', '127.0.0.1:1'],
  ]) {
    const refused = await p2prc(borrower, 'rm', ...words, '--yes')
    assert.notEqual(refused.code, 0, words.join(' '))
    assert.equal((await p2prcJson(lender, 'lent')).length, 3, 'nothing is gone')
  }
  const both = await p2prcJson(borrower, 'rm', a.slice(0, 12), b.slice(0, 12), a, '--yes')
  assert.deepEqual(both, { Returned: [a, b] })
  assert.deepEqual([await exists(a), await exists(b), await exists(c)], [false, false, true])

  // Its record is lost, so that only the lender knows of it.
  writeFileSync(join(borrower.P2PRC as string, 'client/trackcontainers/trackcontainers.json'), '{}')
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
  const { Held } = await p2prcJson(borrower, 'ps', '--on', where)
  assert.deepEqual(
    Held.map((one: { id: string; state: string; tracked: boolean }) => [one.id, one.state, one.tracked]),
    [[c, 'running', false]],
  )
  assert.equal((await p2prc(borrower, 'rm', 'fffffff', '--on', where, '--yes')).code, 3)
  await p2prcJson(borrower, 'rm', c.slice(0, 12), '--on', where, '--yes')
  assert.equal(await exists(c), false)
})

test('a container is used and returned after Go P2PRC has written the records', async (t) => {
  const { borrower, where } = await lenderAndBorrower(t)
  const { ID } = await p2prcJson(borrower, 'touch', where)
  const file = join(borrower.P2PRC as string, 'client/trackcontainers/trackcontainers.json')
  const [{ Container, IpAddress }] = JSON.parse(readFileSync(file, 'utf8')).TrackContainer
  const { SSHHostKey: _, ...known } = Container
  writeFileSync(file, JSON.stringify({ TrackContainer: [{ ID, Container: known, IpAddress }] }))
  const shell = await p2prc(borrower, 'ssh', ID, '--', 'id -un')
  assert.deepEqual([shell.stdout, shell.stderr], ['root\n', ''])
  await p2prcJson(borrower, 'rm', ID, '--yes')
  assert.equal(await exists(ID), false)
})

test('a terminal that is closed in the middle of a take leaves no container', { timeout: 120_000 }, async (t) => {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  const [home, borrower] = [temporaryHome(), temporaryHome()]
  const lender = { ...home, DOCKER_HOST: `unix://${proxy.socketPath}` }
  const { where } = await startNode(t, lender)
  const { key } = await p2prcJson(borrower, 'id')
  const { id } = await p2prcJson(lender, 'trust', 'add', key).then(() => p2prcJson(lender, 'id'))
  t.after(() => removeContainers(home))
  const held = proxy.hold(/^POST \/containers\/\w+\/start/)
  const touch = spawnCli(borrower, ['touch', where])
  const pass = await held
  touch.kill('SIGHUP')
  const [code] = await once(touch, 'exit')
  pass()
  assert.equal(code, 130)
  await until(async () => (await leftOf(id)).length === 0)
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
})

test('a killed node adopts its containers again', async (t) => {
  const { lender, borrower, node } = await lenderAndBorrower(t)
  const { ID } = await p2prcJson(borrower, 'touch', node.where)
  await killed(node)
  assert.equal(await exists(ID), true)
  assert.equal((await p2prcJson(borrower, 'ps')).TrackContainer[0].State, 'unreachable')
  const failed = await p2prc(borrower, 'rm', ID, '--yes')
  assert.equal(failed.code, 5)
  assert.equal((await p2prcJson(borrower, 'ps')).TrackContainer.length, 1, 'a failed remove is not forgotten')
  const again = await startNode(t, lender)
  const [container] = await p2prcJson(lender, 'lent')
  assert.deepEqual([container.id, container.state], [ID, 'running'])
  // The lender has another port now, which the borrower is told.
  await p2prcJson(borrower, 'specs', again.where)
  await p2prcJson(borrower, 'rm', ID, '--yes')
  assert.equal(await exists(ID), false)
})

test('Ctrl-C ends a node with exit code 0, and its containers keep running', async (t) => {
  const { lender, borrower, node } = await lenderAndBorrower(t)
  const { ID } = await p2prcJson(borrower, 'touch', node.where)
  assert.equal(await node.stop(), 0)
  assert.equal((await engine.getContainer(ID).inspect()).State.Running, true)
  // Without a running node in the home, the command line does the lender's work itself.
  const [container] = await p2prcJson(lender, 'lent')
  assert.equal(container.id, ID)
  await p2prcJson(lender, 'evict', ID, '--yes')
  assert.equal(await exists(ID), false)
})

test('Ctrl-C in the middle of a take ends the node with exit code 0, and no partial container stays', async (t) => {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  const [home, borrower] = [temporaryHome(), temporaryHome()]
  const lender = { ...home, DOCKER_HOST: `unix://${proxy.socketPath}` }
  const node = await startNode(t, lender)
  const { key } = await p2prcJson(borrower, 'id')
  const { id } = await p2prcJson(lender, 'trust', 'add', key).then(() => p2prcJson(lender, 'id'))
  t.after(() => removeContainers(home))
  const held = proxy.hold(/^POST \/containers\/\w+\/start/)
  const taken = p2prc(borrower, 'touch', node.where)
  const pass = await held
  const stopped = node.stop()
  // The listeners close after the container manager has stopped.
  await until(async () => !(await listens(node.port)))
  pass()
  assert.deepEqual([await stopped, (await taken).code], [0, 5])
  assert.deepEqual(await leftOf(id), [])
})

/** Whether a process accepts connections on this port. */
async function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return once(socket, 'connect').then(
    () => !!socket.destroy(),
    () => false,
  )
}

test('--open lends over plain HTTP as Go P2PRC does, and only then', async (t) => {
  const [closed, open] = [temporaryHome(), temporaryHome()]
  const { where: shut } = await startNode(t, closed)
  assert.equal((await fetch(`http://${shut}/startcontainer?ports=0`)).status, 403)
  const { where } = await startNode(t, open, '--open')
  t.after(() => removeContainers(open))
  const response = await fetch(`http://${where}/startcontainer?ports=1&GPU=false`)
  assert.equal(response.status, 200)
  const taken = (await response.json()) as { ID: string; SSHPassword: string; SSHUsername: string; GPU: string }
  assert.deepEqual([taken.SSHUsername, taken.GPU], ['root', 'false'])
  assert.ok(taken.SSHPassword.length >= 22)
  const removed = await fetch(`http://${where}/RemoveContainer?id=${taken.ID}`)
  assert.deepEqual([removed.status, await removed.text(), await exists(taken.ID)], [200, 'success', false])
})

test('a Go user with the key that Go made borrows with --open, and the lender is warned', async (t) => {
  const open = temporaryHome()
  const node = await startNode(t, open, '--open')
  t.after(() => removeContainers(open))
  const key = join(open.P2PRC as string, 'go')
  spawnSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-m', 'PEM', '-N', '', '-f', key])
  const encoded = encodeURIComponent(readFileSync(`${key}.pub`).toString('base64'))
  const response = await fetch(`http://${node.where}/startcontainer?PublicKey=${encoded}`)
  const taken = (await response.json()) as { ID: string; Ports: { Port: { ExternalPort: number }[] } }
  assert.equal(response.status, 200, JSON.stringify(taken))
  await node.printed(/Warning: the container for anonymous opens with an RSA key of only 1024 bits/)
  const unknownHost = [
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'IdentitiesOnly=yes',
  ]
  const port = String(taken.Ports.Port[0]?.ExternalPort)
  const shell = spawnSync('ssh', ['-q', '-i', key, ...unknownHost, '-p', port, 'root@127.0.0.1', 'id -un'], {
    encoding: 'utf8',
    input: '',
  })
  assert.deepEqual([shell.stdout, shell.status], ['root\n', 0], shell.stderr)
  const url = `http://${node.where}/RemoveContainer?id=`
  assert.equal((await fetch(`${url}${taken.ID.slice(0, 12)}`)).status, 400)
  assert.equal(await exists(taken.ID), true)
  assert.equal((await fetch(`${url}${taken.ID}`)).status, 200)
})

test('the owner borrows from the own machine without trusting the own key', async (t) => {
  const home = temporaryHome()
  const { where } = await startNode(t, home)
  t.after(() => removeContainers(home))
  const { ID } = await p2prcJson(home, 'touch', where)
  assert.equal((await p2prcJson(home, 'ps')).TrackContainer[0].State, 'running')
  assert.equal((await p2prc(home, 'ssh', ID, '--', 'id -un')).stdout, 'root\n')
  await p2prcJson(home, 'rm', ID, '--yes')
  assert.equal(await exists(ID), false)
  assert.deepEqual(await p2prcJson(home, 'trust', 'ls'), [])
})

test('an address without a node gives a clear error in time, and nothing is tracked', async () => {
  const borrower = temporaryHome()
  const garbage = createServer((socket) => socket.on('error', () => {}).end('220 mail.example ESMTP\r\n'))
  const silence = createServer((socket) => socket.on('error', () => {}))
  for (const [server, pattern] of [
    [garbage, /does not answer as a P2PRC node/],
    [silence, /did not answer within 5000 ms/],
  ] as const) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const refused = await p2prc(borrower, 'touch', `127.0.0.1:${(server.address() as AddressInfo).port}`)
    server.close()
    assert.deepEqual([refused.code, pattern.test(refused.stderr)], [5, true], refused.stderr)
  }
  assert.equal((await p2prc(borrower, 'touch', `127.0.0.1:${await freePort()}`)).code, 5)
  assert.deepEqual(await p2prcJson(borrower, 'ps'), { TrackContainer: [] })
})

test('a request for a missing GPU is rejected, and nothing is left', async (t) => {
  const { lender, borrower, where } = await lenderAndBorrower(t)
  const refused = await p2prc(borrower, 'touch', where, '--gpu')
  assert.equal(refused.code, 6)
  assert.match(refused.stderr, /GPU/)
  assert.deepEqual(await p2prcJson(lender, 'lent'), [])
})

test('a node without an engine borrows and answers, and reports what is missing', async (t) => {
  const { borrower, where } = await lenderAndBorrower(t)
  const bare = { ...temporaryHome(), DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
  const node = await startNode(t, bare)
  await node.printed(/engine/)
  assert.ok((await p2prcJson(borrower, 'specs', node.where)).RAM > 0)
  const { key } = await p2prcJson(borrower, 'id')
  await p2prcJson(bare, 'trust', 'add', key)
  const refused = await p2prc(borrower, 'touch', node.where)
  assert.deepEqual([refused.code, /docker\.io/.test(refused.stderr)], [6, true], refused.stderr)
  const seen = await p2prcJson(bare, 'specs', where)
  assert.ok(seen.Cores > 0)
})

async function killed(node: RunningNode): Promise<void> {
  const gone = new Promise((resolve) => node.process.once('exit', resolve))
  node.process.kill('SIGKILL')
  await gone
}
