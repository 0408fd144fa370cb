import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { test } from 'node:test'
import Docker from 'dockerode'
import { canBind } from '../../actors/containerManager/hostPorts.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import { CONTAINER_CAPABILITIES } from '../../protocol/defaults/containerManager.ts'
import type { AppError } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { Secret } from '../../protocol/secret.ts'
import { createEngineProxy } from '../support/engineProxy.ts'
import { nextEvent } from '../support/harness.ts'
import { borrowerKey, commandOf, engine, leftOf, logInByPassword, startLender, until } from '../support/lender.ts'

const docker = new Docker()
const is = (code: string) => (error: unknown) => {
  assert.equal((error as AppError).code, code, String(error))
  return true
}

test('a container has the documented form for its borrower and its lender', async (t) => {
  const key = await borrowerKey(t)
  const lender = startLender(t)
  const reply = await lender.create({ key: key.publicKey, ports: 1, udpPorts: 1 })
  await t.test('the reply has its fields', () => {
    assert.match(reply.ID, /^[0-9a-f]{64}$/)
    assert.match(reply.SSHHostKey, /^ssh-ed25519 [A-Za-z0-9+/]+$/)
    assert.deepEqual([reply.SSHUsername, reply.SSHPassword, reply.GPU], ['root', '', 'false'])
    const [ssh, tcp, udp] = reply.Ports.Port
    assert.deepEqual([ssh?.PortName, ssh?.InternalPort, ssh?.Type, ssh?.IsUsed], ['SSH', 22, 'tcp', true])
    for (const [port, type] of [
      [tcp, 'tcp'],
      [udp, 'udp'],
    ] as const) {
      const { InternalPort, ExternalPort, ...rest } = port ?? assert.fail()
      assert.equal(InternalPort, ExternalPort)
      const Description = `Auto generated ${type.toUpperCase()} port`
      assert.deepEqual(rest, { PortName: 'AutoGen Port', Type: type, IsUsed: false, Description })
    }
  })
  await t.test('its shell has the pinned host key, sudo, the full Python, /data, and packages', async () => {
    assert.equal(
      await key.ssh(reply, 'id -un; sudo -n id -u; python3 -c "import shutil, json; print(42)"'),
      'root\n0\n42\n',
    )
    assert.equal(await key.ssh(reply, 'echo kept > /data/note; cat /data/note'), 'kept\n')
    await key.ssh(reply, 'apt-get update -qq -o Acquire::Retries=3 && apt-get install -y -qq hello >/dev/null 2>&1')
    assert.match(await key.ssh(reply, 'hello'), /Hello/)
    assert.equal(await logInByPassword(reply, ''), false)
    assert.equal(await logInByPassword(reply, 'password'), false)
  })
  await t.test('the engine got the documented settings', async () => {
    const { HostConfig: host, Mounts, Config } = await docker.getContainer(reply.ID).inspect()
    assert.deepEqual([host.CapDrop, host.CapAdd], [['ALL'], [...CONTAINER_CAPABILITIES]])
    assert.deepEqual([host.SecurityOpt, host.Privileged, host.Binds], [['no-new-privileges'], false, null])
    assert.equal(host.Memory, host.MemorySwap)
    assert.ok((host.Memory ?? 0) > 0 && (host.NanoCpus ?? 0) > 0)
    assert.equal(host.PidsLimit, 1_024)
    assert.deepEqual(host.LogConfig, { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } })
    assert.equal(host.RestartPolicy?.Name, 'unless-stopped')
    assert.deepEqual(
      Mounts.map(({ Type, Destination }) => [Type, Destination]),
      [['volume', '/data']],
    )
    assert.doesNotMatch(JSON.stringify(Config), /PRIVATE|[Pp]assword/)
    assert.match(await key.ssh(reply, 'grep CapBnd /proc/self/status'), /00000000200400eb/)
  })
  await t.test(
    'a returned container leaves no container, volume or port; returning it again is not an error',
    async () => {
      const freePorts = () => Promise.all(reply.Ports.Port.map(({ ExternalPort, Type }) => canBind(ExternalPort, Type)))
      assert.deepEqual(await freePorts(), [false, false, false])
      const removal = nextEvent(lender.bus, 'container.removed')
      await lender.command('container.remove', { id: reply.ID.slice(0, 10) })
      assert.equal((await removal).id, reply.ID)
      assert.deepEqual(await leftOf(lender.nodeId), [])
      assert.deepEqual(await freePorts(), [true, true, true])
      assert.equal((await lender.command('container.remove', { id: reply.ID })).type, 'container.removed')
      await assert.rejects(lender.command('container.remove', { id: 'f'.repeat(64) }), is('not_found'))
      assert.equal(lender.received.filter(({ type }) => type === 'container.changed').length, 0)
    },
  )
})

test('without a key the reply has a password, which opens the container, and a repeated request sets a new one', async (t) => {
  const lender = startLender(t)
  const passwordOf = ({ SSHPassword }: ContainerReply) => (SSHPassword instanceof Secret ? SSHPassword.reveal() : '')
  const first = await lender.create({ requestId: 'create-1' })
  // base64url has 6 bits a character.
  assert.ok(passwordOf(first).length * 6 >= 128)
  assert.equal(await logInByPassword(first, passwordOf(first)), true)
  const second = await lender.create({ requestId: 'create-1' })
  assert.equal(second.ID, first.ID)
  assert.notEqual(passwordOf(second), passwordOf(first))
  assert.equal(await logInByPassword(second, passwordOf(second)), true)
  assert.equal(await logInByPassword(second, passwordOf(first)), false)
  const inspected = JSON.stringify(await docker.getContainer(first.ID).inspect())
  for (const reply of [first, second]) {
    assert.ok(!inspected.includes(passwordOf(reply)))
    assert.ok(!JSON.stringify(lender.received).includes(passwordOf(reply)))
  }
})

test('containers do not see each other', async (t) => {
  const key = await borrowerKey(t)
  const lender = startLender(t)
  const [one, other] = await Promise.all([lender.create({ key: key.publicKey }), lender.create({ key: key.publicKey })])
  const { NetworkSettings } = await docker.getContainer(other.ID).inspect()
  const [network] = Object.values(NetworkSettings.Networks)
  const host = network?.IPAddress ?? ''
  const reaches = (address: string, seconds: number) =>
    key.ssh(
      one,
      `timeout ${seconds} python3 -c "import socket; socket.create_connection(('${address}', 22)); print('reached')" 2>&1 || true`,
    )
  assert.doesNotMatch(await reaches(host, 3), /reached/)
  assert.match(await reaches('127.0.0.1', 60), /reached/, 'the probe itself works')
  const fromHost = connect({ host, port: 22 })
  assert.match(String(await once(fromHost, 'data')), /^SSH-/, 'the address is right')
  fromHost.destroy()
})

test('each port is used once, and another is found if one was taken at the last moment', async (t) => {
  const proxy = await createEngineProxy()
  t.after(() => proxy.close())
  const lender = startLender(t, { engine: createDockerEngine({ socketPath: proxy.socketPath }) })
  const held = proxy.hold(/^POST \/containers\/\w+\/start/)
  const created = lender.create({ ports: 1 })
  const pass = await held
  const [pending] = await engine.containers(`p2prc.node=${lender.nodeId}`)
  const wanted = (JSON.parse(pending?.labels['p2prc.ports'] ?? '') as Port[]).map(({ ExternalPort }) => ExternalPort)
  const thief = createServer().listen(wanted[1], '0.0.0.0')
  await once(thief, 'listening')
  pass()
  const first = await created
  thief.close()
  assert.ok(first.Ports.Port.every(({ ExternalPort }) => ExternalPort !== wanted[1]))
  assert.equal((await leftOf(lender.nodeId)).length, 2)
  const more = await Promise.all([lender.create({ ports: 3 }), lender.create({ ports: 3 })])
  const all = [first, ...more].flatMap(({ Ports }) => Ports.Port.map(({ ExternalPort }) => ExternalPort))
  assert.equal(new Set(all).size, all.length)
})

test('a rejected request leaves nothing behind', async (t) => {
  const lender = startLender(t)
  const table = [
    [{ gpu: true }, 'gpu_missing'],
    [{ key: 'ssh-ed25519 AAAA' }, 'bad_key'],
    [{ key: '"; touch X; "' }, 'bad_key'],
    [{ image: '"; touch X; "' }, 'bad_image'],
    [{ image: '../ssh' }, 'bad_image'],
    [{ ports: 40, udpPorts: 40 }, 'bad_request'],
  ] as const
  for (const [request, code] of table) await assert.rejects(lender.create(request), is(code), JSON.stringify(request))
  assert.deepEqual(await leftOf(lender.nodeId), [])
})

test('containers of other nodes on the same engine are not touched', async (t) => {
  const [one, other] = [startLender(t), startLender(t)]
  const { ID } = await one.create()
  await assert.rejects(other.command('container.remove', { id: ID }), is('not_found'))
  const listed = await other.command('container.list')
  assert.deepEqual('containers' in listed && listed.containers, [])
})

test('state changes by another program are published, and the volume of a container that it removes goes too', async (t) => {
  const lender = startLender(t)
  const { ID } = await lender.create()
  const container = docker.getContainer(ID)
  const change = (state: string) => nextEvent(lender.bus, 'container.changed', (event) => event.state === state)
  const stopped = change('stopped')
  await container.stop({ t: 0 })
  assert.equal((await stopped).id, ID)
  const running = change('running')
  await container.start()
  await running
  const gone = change('gone')
  await container.remove({ force: true })
  await gone
  assert.deepEqual(await leftOf(lender.nodeId), [])
})

test('logs hold the past output, then follow new output until nobody listens', async (t) => {
  const key = await borrowerKey(t)
  const lender = startLender(t)
  const reply = await lender.create({ key: key.publicKey })
  // The engine stores the output of a container with a delay.
  await until(async () => {
    const end = await lender.command('container.logs', { id: reply.ID.slice(0, 6), tail: 100 })
    assert.equal(end.type, 'container.logsEnded')
    const isIt = (fact: BusEvent) => fact.type === 'container.logged' && /listening on 0.0.0.0 port 22/.test(fact.line)
    return lender.received.some(isIt)
  })
  const stop = new AbortController()
  const live = nextEvent(
    lender.bus,
    'container.logged',
    (fact) => fact.requestId === 'live' && /Accepted publickey/.test(fact.line),
  )
  const following = lender.command(
    'container.logs',
    { requestId: 'live', id: reply.ID, follow: true, tail: 0 },
    stop.signal,
  )
  const abandoned = assert.rejects(following, is('abandoned'))
  // There is no signal that the engine has begun to follow.
  let ended = false
  const end = () => {
    ended = true
  }
  live.then(end, end)
  while (!ended) await key.ssh(reply, 'true')
  await live
  stop.abort()
  await abandoned
})

test('a create that is abandoned before its end leaves nothing', async (t) => {
  const lender = startLender(t)
  for (const step of ['create', 'start', 'ssh']) {
    const stop = new AbortController()
    const created = lender.command('container.create', { requestId: `to ${step}` }, stop.signal)
    const failed = nextEvent(lender.bus, 'container.createFailed', ({ requestId }) => requestId === `to ${step}`)
    const refused = assert.rejects(created, is('abandoned'))
    await nextEvent(lender.bus, 'container.progress', (fact) => fact.requestId === `to ${step}` && fact.step === step)
    stop.abort()
    await refused
    assert.equal((await failed).code, 'abandoned')
    assert.deepEqual(await leftOf(lender.nodeId), [], step)
  }
})

test('two clients with one request get one container, which is rolled back when the last one leaves', async (t) => {
  const lender = startLender(t)
  const stop = new AbortController()
  const one = lender.command('container.create', { requestId: 'create-1' }, stop.signal)
  const leaves = assert.rejects(one, is('abandoned'))
  const other = lender.create({ requestId: 'create-1' })
  stop.abort()
  await leaves
  const { ID } = await other
  assert.equal((await engine.containers(`p2prc.node=${lender.nodeId}`)).length, 1)
  lender.bus.publish({ type: 'request.abandoned', requestId: 'create-1' })
  const listed = await lender.command('container.list')
  assert.deepEqual('containers' in listed && listed.containers.map(({ id }) => id), [ID])
  lender.bus.publish(commandOf('container.remove', { requestId: 'last', id: ID }))
  await nextEvent(lender.bus, 'container.removed')
})
