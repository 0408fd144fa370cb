import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { createActor, fromCallback, fromPromise, setup } from 'xstate'
import { formatAptSources, parseDeb822, parseOneLine, readAptSources } from '../../actors/engine/aptSources.ts'
import { resolveBase } from '../../actors/engine/baseImage.ts'
import { createDockerEngine } from '../../actors/engine/dockerEngine.ts'
import type { Engine } from '../../actors/engine/engine.ts'
import { buildImage, inspectImage, pruneImages } from '../../actors/engine/imageBuilder.ts'
import type { ContainerAccepts } from '../../machines/containerManager/containerTypes.ts'
import { type ImageStoreEmits, imageStoreMachine } from '../../machines/containerManager/imageStore.ts'
import { type ContainerImage, type ImageStepEmits, imageMachine } from '../../machines/image.ts'
import { AppError } from '../../protocol/errors.ts'
import { nextTick } from '../support/harness.ts'

const shipped = resolve(import.meta.dirname, '../../images')
const folder = await mkdtemp(join(tmpdir(), 'p2prc-images-'))
const name = `test-${randomBytes(4).toString('hex')}`
const engine = createDockerEngine()
const never = new AbortController().signal

after(async () => {
  for (const { tags } of await engine.images(`p2prc.image=${name}`))
    for (const tag of tags) await engine.removeImage(tag)
  await rm(folder, { recursive: true })
})

const is =
  (code: string, words = /./) =>
  (error: unknown) =>
    (error as AppError).code === code && words.test((error as AppError).message)

/**
 * An image store with fake effects: `built` says whether the engine has the image, `steps` what the two long steps
 * do.
 */
function imageStore({ built = false, inspectFails = [] as unknown[], blocked = false } = {}) {
  const done: string[] = []
  const facts: ImageStoreEmits['fact'][] = []
  let go = () => {}
  const step = <Input>(what: string, base: string) =>
    fromCallback<ImageStepEmits, Input>(({ sendBack }) => {
      done.push(what)
      sendBack({ type: 'step.line', line: `${what} line` })
      if (blocked) go = () => sendBack({ type: 'step.done', base })
      else sendBack({ type: 'step.done', base })
    })
  const image = imageMachine.provide({
    actors: {
      inspect: fromPromise<ContainerImage, { name: string }>(async ({ input }) => {
        done.push(`inspect ${input.name}`)
        const error = inspectFails.shift()
        if (error) throw error
        return { name: input.name, tag: `p2prc/${input.name}:1`, digest: '1', ports: [], built }
      }),
      resolveBase: step('base', 'base:1'),
      build: step('build', 'base:1'),
      prune: fromPromise<void, { image: ContainerImage }>(async () => {
        done.push('prune')
        throw new Error('in use')
      }),
    },
  })
  const parent = createActor(
    setup({ types: { events: {} as ImageStoreEmits } }).createMachine({
      on: { 'imageStore.emitted': { actions: ({ event }) => facts.push(event.fact) } },
    }),
  ).start()
  const actor = createActor(imageStoreMachine.provide({ actors: { image } }), {
    input: { parent, defaultImage: 'ssh' },
  }).start()
  const received: ContainerAccepts[] = []
  const container = createActor(
    setup({ types: { events: {} as ContainerAccepts } }).createMachine({
      on: { '*': { actions: ({ event }) => received.push(event) } },
    }),
  ).start()
  const settled = async () => {
    for (let turns = 0; turns < 20; turns += 1) await nextTick()
  }
  return { actor, container, done, facts, received, settled, go: () => go() }
}

test('an image is prepared once for all requests, and each receives its output and its result', async () => {
  const { actor, container, done, facts, received, settled } = imageStore()
  actor.send({ type: 'imageStore.prepare' })
  actor.send({ type: 'imageStore.build', requestId: 'b1' })
  actor.send({ type: 'imageStore.request', name: 'ssh', again: false, container })
  await settled()
  assert.deepEqual(done, ['inspect ssh', 'base', 'build', 'prune'])
  assert.deepEqual(
    received.map(({ type }) => type),
    ['image.line', 'image.line', 'image.ready'],
  )
  assert.deepEqual(
    facts.map((fact) => `${fact.type} ${'requestId' in fact && fact.requestId}`),
    ['image.progress b1', 'image.progress b1', 'image.built b1'],
  )
  actor.send({ type: 'imageStore.request', name: 'ssh', again: false, container })
  assert.equal(received.at(-1)?.type, 'image.ready', 'a ready one is given at once')
  assert.equal(done.length, 4)
})

test('an image in the engine is not built; it is checked again if a command requests it or the engine has lost it', async () => {
  const { actor, container, done, received, settled } = imageStore({ built: true })
  actor.send({ type: 'imageStore.prepare' })
  await settled()
  assert.deepEqual(done, ['inspect ssh', 'prune'])
  actor.send({ type: 'imageStore.prepare' })
  await settled()
  assert.equal(done.length, 2)
  actor.send({ type: 'imageStore.build', requestId: 'b2' })
  await settled()
  actor.send({ type: 'imageStore.request', name: 'ssh', again: true, container })
  await settled()
  assert.equal(done.filter((what) => what === 'inspect ssh').length, 3)
  assert.equal(received.at(-1)?.type, 'image.ready')
})

test('a failure reaches every request, and the next request starts again', async () => {
  const { actor, container, facts, received, settled } = imageStore({
    inspectFails: [new AppError('bad_image', { image: 'ssh' })],
  })
  actor.send({ type: 'imageStore.build', requestId: 'b1' })
  actor.send({ type: 'imageStore.request', name: 'ssh', again: false, container })
  await settled()
  assert.match(JSON.stringify(facts.at(-1)), /image.buildFailed.*b1.*bad_image/)
  assert.equal(received.at(-1)?.type, 'image.failed')
  assert.deepEqual(Object.keys(actor.getSnapshot().children), [])
  actor.send({ type: 'imageStore.request', name: 'ssh', again: false, container })
  await settled()
  assert.equal(received.at(-1)?.type, 'image.ready')
})

test('an abandoned build request gets no reply, and the build continues', async () => {
  const { actor, facts, done, settled, go } = imageStore({ blocked: true })
  actor.send({ type: 'imageStore.build', requestId: 'b1' })
  await settled()
  actor.send({ type: 'imageStore.abandon', requestId: 'b1' })
  go()
  await settled()
  go()
  await settled()
  assert.deepEqual(done, ['inspect ssh', 'base', 'build', 'prune'])
  assert.deepEqual(
    facts.slice(1).map((fact) => 'requestId' in fact && fact.requestId),
    ['', ''],
  )
})

test('only a folder of images/ with all its parts is an image; no name reaches outside', async () => {
  const bad = ['', '.', '..', '../images/ssh', 'ssh/', '/etc', 'SSH', 'a b', 'ssh"; touch X; "', 'none', 'x'.repeat(65)]
  for (const one of bad) await assert.rejects(inspectImage(engine, shipped, one), is('bad_image'), one)
  const parts: Record<string, string> = {
    Dockerfile: 'FROM scratch',
    'description.txt': 'text',
    'ports.json': '{"Port":[{"PortName":"SSH","InternalPort":22,"Type":"tcp","Description":""}]}',
  }
  for (const missing of Object.keys(parts)) {
    const path = join(folder, 'part')
    await mkdir(path)
    for (const [file, text] of Object.entries(parts)) if (file !== missing) await writeFile(join(path, file), text)
    await assert.rejects(inspectImage(engine, folder, 'part'), is('bad_image'), missing)
    await rm(path, { recursive: true })
  }
  for (const text of ['', 'null', '[]', '{"Port":[{"PortName":"SSH","InternalPort":70000}]}', '{"Port":[]}']) {
    const path = join(folder, 'ports')
    await mkdir(path)
    for (const [file, content] of Object.entries({ ...parts, 'ports.json': text }))
      await writeFile(join(path, file), content)
    await assert.rejects(inspectImage(engine, folder, 'ports'), is('bad_image'), text)
    await rm(path, { recursive: true })
  }
})

test('a folder is built once for its content; after a change it is built again and the old image pruned', async () => {
  const lines: string[] = []
  const base = await resolveBase({ engine }, { onLine: () => {}, signal: never })
  await cp(join(shipped, 'ssh'), join(folder, name), { recursive: true })
  await writeFile(join(folder, name, 'Dockerfile'), 'ARG BASE\nFROM $BASE\nCOPY sshd.conf /etc/note\n')
  const build = (image: ContainerImage) =>
    buildImage({ engine, imagesDir: folder }, image, base, (line) => lines.push(line), never)
  const first = await inspectImage(engine, folder, name)
  assert.equal(first.built, false)
  await build(first)
  assert.ok(lines.some((line) => line.includes('COPY sshd.conf')))
  assert.equal((await inspectImage(engine, folder, name)).built, true)
  await writeFile(join(folder, name, 'sshd.conf'), 'changed\n')
  await assert.rejects(build(first), is('image_failed', /has changed meanwhile/))
  const second = await inspectImage(engine, folder, name)
  assert.notEqual(second.tag, first.tag)
  assert.equal(second.built, false)
  await build(second)
  const user = await engine.create(name, { Image: first.tag, Cmd: ['true'] })
  await pruneImages(engine, second)
  assert.equal(await engine.hasImage(first.tag), true, 'one in use stays')
  await engine.remove(user)
  await pruneImages(engine, second)
  assert.equal(await engine.hasImage(first.tag), false)
  assert.equal(await engine.hasImage(second.tag), true)
})

/** Returns an engine without images whose registry behaves as `pull` does. */
function bare(pull: Engine['pull']): Engine {
  return { hasImage: async () => false, pull } as Partial<Engine> as Engine
}

test('without a base image the error names each attempt; a silent registry is not awaited; a lost engine is reported', async () => {
  const work = { onLine: () => {}, signal: never }
  const refused = bare(() => Promise.reject(new AppError('engine_failed', { why: 'no such host' })))
  await assert.rejects(
    resolveBase({ engine: refused, path: folder }, work),
    is('base_missing', /no such host.*debootstrap is not installed/),
  )
  const silent = bare(
    (_, _onLine, signal) => new Promise((_resolve, reject) => signal.addEventListener('abort', reject)),
  )
  await assert.rejects(
    resolveBase({ engine: silent, path: folder, silenceMs: 20 }, work),
    is('base_missing', /within 20 ms/),
  )
  const lost = bare(() => Promise.reject(new AppError('engine_missing', { why: 'cut' })))
  await assert.rejects(resolveBase({ engine: lost, path: folder }, work), is('engine_missing'))
  assert.equal(
    await resolveBase({ engine: bare(() => Promise.resolve()), registryBase: 'some:base' }, work),
    'some:base',
  )
})

test('apt sources in both forms, and only those of the distribution that hold no password', async () => {
  const deb822 = [
    '# a comment',
    'Types: deb deb-src',
    'URIs: http://mirror.example/debian',
    'Suites: trixie trixie-updates',
    'Components: main',
    ' contrib',
    'Signed-By: /usr/share/keyrings/x.gpg',
    '',
    'Types: deb-src',
    'URIs: http://mirror.example/src',
    'Suites: trixie',
    'Components: main',
    '',
    'Enabled: no',
    'Types: deb',
    'URIs: http://mirror.example/off',
    'Suites: trixie',
    'Components: main',
  ].join('\n')
  const source = { uri: 'http://mirror.example/debian', components: ['main', 'contrib'], trusted: false }
  assert.deepEqual(parseDeb822(deb822), [
    { ...source, suite: 'trixie' },
    { ...source, suite: 'trixie-updates' },
  ])
  const lines = [
    '#deb http://mirror.example/debian trixie main',
    'deb [signed-by=/x trusted=yes] http://mirror.example/debian trixie-security main # why',
    'deb http://user:secret@mirror.example/debian trixie main',
    'deb http://other.example/debian other main',
    'deb-src http://mirror.example/debian trixie main',
  ].join('\n')
  const apt = join(folder, 'apt')
  await mkdir(join(apt, 'sources.list.d'), { recursive: true })
  await writeFile(join(apt, 'sources.list'), lines)
  await writeFile(join(apt, 'sources.list.d/a.sources'), deb822)
  await writeFile(join(apt, 'os-release'), 'ID=debian\nVERSION_CODENAME=trixie\n')
  assert.equal(parseOneLine(lines).length, 3)
  const { codename, sources } = await readAptSources(apt, join(apt, 'os-release'))
  assert.equal(codename, 'trixie')
  assert.equal(
    formatAptSources(sources),
    [
      'deb http://mirror.example/debian trixie main contrib\n',
      'deb [trusted=yes] http://mirror.example/debian trixie-security main\n',
      'deb http://mirror.example/debian trixie-updates main contrib\n',
    ].join(''),
  )
})
