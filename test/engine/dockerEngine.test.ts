import assert from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { after, test } from 'node:test'
import Docker, { type ContainerCreateOptions } from 'dockerode'
import { resolveBase } from '../../actors/engine/baseImage.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import type { EngineEvent } from '../../actors/engine/engine.ts'
import { tarOf } from '../../actors/engine/tar.ts'
import { lineSplitter } from '../../actors/lines.ts'
import type { AppError } from '../../protocol/errors.ts'
import { createEngineProxy } from '../support/engineProxy.ts'
import { until } from '../support/lender.ts'

const mark = `engine-test-${randomBytes(4).toString('hex')}`
const label = `p2prc.test=${mark}`
const engine = createDockerEngine()
const quiet = { onLine: () => {}, signal: new AbortController().signal }
const base = await resolveBase({ engine }, quiet)

const spec = (more: ContainerCreateOptions = {}): ContainerCreateOptions => ({
  Image: base,
  Cmd: ['sleep', '600'],
  Labels: { 'p2prc.test': mark },
  ...more,
})

after(async () => {
  for (const { id } of await engine.containers(label)) await engine.remove(id)
})

const fails =
  (code: string, words = /./) =>
  (error: unknown) => {
    assert.equal((error as AppError).code, code, String(error))
    assert.match((error as AppError).message, words)
    return true
  }

test('text is split at every kind of line end, also across chunks, into lines of limited length', () => {
  const lines: string[] = []
  const splitter = lineSplitter((line) => lines.push(line), 8)
  for (const chunk of ['one\ntw', 'o\r', '\nthree\rfo', 'ur\n', 'é'.repeat(10), '\nend'])
    splitter.write(Buffer.from(chunk))
  splitter.end()
  assert.deepEqual(lines, ['one', 'two', 'three', 'four', 'éééééééé', 'éé', 'end'])
})

test('every call fails with engine_missing if nothing is behind the socket', async () => {
  const nobody = createDockerEngine({ socketPath: '/nonexistent/engine.sock' })
  const calls: Promise<unknown>[] = [
    nobody.version(),
    nobody.watch(label, { open: () => {}, event: () => {} }, quiet.signal),
    nobody.containers(label),
    nobody.create(mark, spec()),
    nobody.putArchive(mark, Buffer.alloc(1_024)),
    nobody.start(mark),
    nobody.remove(mark),
    nobody.run(mark, ['true'], ''),
    nobody.logs(mark, { follow: false, tail: 1 }, () => {}, quiet.signal),
    nobody.removeVolume(mark),
    nobody.ensureNetwork(mark, {}),
    nobody.hasImage(base),
    nobody.build(await tarOf([]), { tag: mark, args: {}, labels: {} }, () => {}, quiet.signal),
  ]
  for (const call of calls) await assert.rejects(call, fails('engine_missing', /ENOENT/))
})

test('a user who may not open the socket is told to join the group, not to install an engine', async (t) => {
  const folder = mkdtempSync('/tmp/engine-forbidden-')
  const server = createServer().listen(`${folder}/s`)
  await once(server, 'listening')
  chmodSync(folder, 0o755)
  chmodSync(`${folder}/s`, 0o600)
  t.after(() => {
    server.close()
    rmSync(folder, { recursive: true })
  })
  const forbidden = createDockerEngine({ socketPath: `${folder}/s` })
  process.seteuid?.(65_534)
  try {
    await assert.rejects(forbidden.version(), fails('engine_missing', /EACCES.*adduser USER docker/))
  } finally {
    process.seteuid?.(0)
  }
})

test('the engine reports each change of a container', async () => {
  const events: EngineEvent[] = []
  const watching = new AbortController()
  let watched: Promise<void> = Promise.resolve()
  await new Promise<void>((open) => {
    watched = engine.watch(label, { open, event: (event) => events.push(event) }, watching.signal)
  })
  const id = await engine.create(`${mark}-life`, spec())
  await engine.putArchive(id, await tarOf([{ path: 'root/note', mode: 0o600, content: 'kept\n' }]))
  await engine.start(id)
  await engine.run(id, ['tee', '-a', '/root/note'], 'and more\n')
  await engine.run(id, ['grep', '-q', 'more', '/root/note'], '')
  await assert.rejects(
    engine.run(id, ['grep', '-q', 'absent', '/root/note'], ''),
    fails('engine_failed', /ended with 1/),
  )
  await engine.rename(id, `${mark}-renamed`)
  const [listed] = await engine.containers(label)
  assert.deepEqual([listed?.id, listed?.name, listed?.running], [id, `${mark}-renamed`, true])
  assert.ok(Math.abs((listed?.createdAt ?? 0) - Date.now()) < 60_000)
  await engine.remove(`${mark}-renamed`)
  await engine.remove(id)
  assert.deepEqual(await engine.containers(label), [])
  await until(async () => events.some(({ action }) => action === 'destroy'))
  watching.abort()
  await watched
  const actions = events.filter(({ action }) => !action.startsWith('exec_')).map(({ action }) => action)
  assert.deepEqual(actions, ['create', 'extract-to-dir', 'start', 'rename', 'kill', 'die', 'destroy'])
  assert.ok(events.every((event) => event.id === id && event.labels['p2prc.test'] === mark))
})

test('logs arrive by line and stream, and end by themselves or when stopped', async () => {
  const script = 'echo out; echo err >&2; printf tail; sleep 600'
  const id = await engine.create(`${mark}-logs`, spec({ Cmd: ['sh', '-c', script] }))
  await engine.start(id)
  const stop = new AbortController()
  const lines: string[] = []
  const following = new Promise<void>((resolve) => {
    const ended = engine.logs(
      id,
      { follow: true, tail: 100 },
      (stream, line) => {
        lines.push(`${stream} ${line}`)
        if (lines.length === 2) resolve(ended)
        if (lines.length === 2) stop.abort()
      },
      stop.signal,
    )
  })
  await following
  assert.deepEqual(lines.filter((line) => !line.endsWith('tail')).sort(), ['stderr err', 'stdout out'])
  const last: string[] = []
  await engine.logs(id, { follow: false, tail: 1 }, (_, line) => last.push(line), quiet.signal)
  assert.equal(last.length, 1)
  await assert.rejects(
    engine.logs('0'.repeat(64), { follow: false, tail: 1 }, () => {}, quiet.signal),
    fails('engine_failed'),
  )
  await engine.remove(id)
})

test('a failure has a code on which a borrower can act', async () => {
  await assert.rejects(engine.create(`${mark}-none`, spec({ Image: 'p2prc/none:none' })), fails('image_failed'))
  // The port is below those of containers and those that the system assigns.
  const HostPort = String(randomInt(15_000, 20_000))
  const port = { ExposedPorts: { '9/tcp': {} }, HostConfig: { PortBindings: { '9/tcp': [{ HostPort }] } } }
  const first = await engine.create(`${mark}-port1`, spec(port))
  const second = await engine.create(`${mark}-port2`, spec(port))
  await engine.start(first)
  await assert.rejects(engine.start(second), fails('ports_exhausted'))
  const gpu = { HostConfig: { DeviceRequests: [{ Driver: '', Count: -1, Capabilities: [['gpu']] }] } }
  const third = await engine.create(`${mark}-gpu`, spec(gpu as ContainerCreateOptions))
  await assert.rejects(engine.start(third), fails('gpu_missing', /device driver/))
  for (const id of [first, second, third]) await engine.remove(id)
})

test('a network is created once, and one with other settings is not used', async () => {
  const name = mark.slice(0, 15)
  const network = new Docker().getNetwork(name)
  try {
    const bridge = { 'com.docker.network.bridge.name': name }
    const closed = { ...bridge, 'com.docker.network.bridge.enable_icc': 'false' }
    await Promise.all(Array.from({ length: 4 }, () => engine.ensureNetwork(name, closed)))
    await engine.ensureNetwork(name, closed)
    const open = { ...bridge, 'com.docker.network.bridge.enable_icc': 'true' }
    await assert.rejects(engine.ensureNetwork(name, open), fails('engine_failed', /other settings/))
  } finally {
    await network.remove()
  }
})

test('a failed build is image_failed with its last output, and leaves no container behind', async () => {
  const dockerfile = 'ARG BASE\nFROM $BASE\nRUN echo before && exit 3\n'
  const tar = await tarOf([{ path: 'Dockerfile', mode: 0o644, content: dockerfile }])
  const lines: string[] = []
  const options = { tag: `p2prc/${mark}:1`, args: { BASE: base }, labels: { 'p2prc.test': mark } }
  const build = engine.build(tar, options, (line) => lines.push(line), quiet.signal)
  await assert.rejects(build, fails('image_failed', /returned a non-zero code: 3/))
  assert.ok(lines.includes('before'), lines.join('\n'))
  assert.equal(await engine.hasImage(options.tag), false)
  assert.deepEqual(await engine.containers(label), [])
})

for (const at of ['request', 'answer', 'middle'] as const) {
  test(`a connection that breaks (${at}) is engine_missing at once, and the next call works`, async () => {
    const proxy = await createEngineProxy()
    const through = createDockerEngine({ socketPath: proxy.socketPath })
    try {
      await through.version()
      const broken = proxy.cut(/^GET \/images\//, at)
      await assert.rejects(
        through.hasImage(base),
        fails('engine_missing', /^Docker’s connection broke off: [^.]*\. Try again/),
      )
      await broken
      assert.equal(await through.hasImage(base), true)
      // The stream of events breaks too.
      const lost = await new Promise<{ error: Promise<unknown> }>((resolve) => {
        const watching = through.watch(label, { open: () => resolve({ error }), event: () => {} }, quiet.signal)
        const error = watching.then(
          () => undefined,
          (reason) => reason,
        )
      })
      proxy.down()
      fails('engine_missing', /broke off/)(await lost.error)
      await assert.rejects(through.version(), fails('engine_missing'))
      proxy.restore()
      await through.version()
    } finally {
      await proxy.close()
    }
  })
}

test('an engine that answers with another protocol is engine_missing, not a crash', async () => {
  const { createServer } = await import('node:http')
  const { mkdtemp, rm } = await import('node:fs/promises')
  const folder = await mkdtemp('/tmp/engine-junk-')
  const junk = createServer((_, response) => response.end('{"half":\nnull\n[]\n'))
  await new Promise<void>((resolve) => junk.listen(`${folder}/s`, resolve))
  const through = createDockerEngine({ socketPath: `${folder}/s` })
  await assert.rejects(through.containers(label), fails('engine_missing'))
  await assert.rejects(through.watch(label, { open: () => {}, event: () => {} }, quiet.signal), fails('engine_missing'))
  junk.closeAllConnections()
  junk.close()
  await rm(folder, { recursive: true })
})
