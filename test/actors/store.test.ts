import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { buildSync } from 'esbuild'
import { z } from 'zod'
import { openStore } from '../../actors/store.ts'
import { trackContainersFile } from '../../protocol/files/loans.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-store-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const schema = z.looseObject({ count: z.number().default(0), text: z.string().default('') })
const empty = () => ({ count: 0, text: '' })
const options = { schema, empty, indent: ' ' }

let serial = 0
function file(content?: string): string {
  const path = join(folder, `file-${++serial}.json`)
  if (content !== undefined) writeFileSync(path, content)
  return path
}

describe('store: reading', () => {
  for (const [what, content] of [
    ['missing', undefined],
    ['0 bytes', ''],
    ['white space', ' \n'],
  ] as const) {
    test(`${what} is read as an empty file, and reading writes nothing`, async () => {
      const path = file(content)
      const store = await openStore(path, options)
      assert.deepEqual(store.data, empty())
      assert.equal(
        readdirSync(folder).some((name) => name.startsWith(`file-${serial}.json.`)),
        false,
      )
    })
  }

  for (const [what, content] of [
    ['null', 'null'],
    ['truncated', '{"count": 1, "te'],
    ['not JSON', 'hello'],
    ['another shape', '{"count": "many"}'],
    ['a list', '[1, 2]'],
  ] as const) {
    test(`${what} is quarantined and reported, and never overwritten`, async () => {
      const path = file(content)
      const quarantined: string[] = []
      const store = await openStore(path, { ...options, onDamaged: (where) => quarantined.push(where) })
      assert.deepEqual(store.data, empty())
      await store.write({ count: 7, text: 'new' })
      assert.deepEqual(quarantined, [`${path}.damaged-1`])
      assert.equal(readFileSync(quarantined[0] as string, 'utf8'), content)
      writeFileSync(path, 'damaged again')
      await openStore(path, { ...options, onDamaged: (where) => quarantined.push(where) })
      assert.equal(quarantined[1], `${path}.damaged-2`)
      assert.equal(readFileSync(quarantined[0] as string, 'utf8'), content)
    })
  }

  test('a newer version is rejected and left unchanged', async () => {
    const content = '{"Version": 99, "count": 1}'
    const path = file(content)
    await assert.rejects(openStore(path, options), { code: 'newer_file' })
    assert.equal(readFileSync(path, 'utf8'), content)
  })

  test('an older version and a file without a version are read', async () => {
    assert.equal((await openStore(file('{"Version": 0, "count": 3}'), options)).data.count, 3)
    assert.equal((await openStore(file('{"count": 4}'), options)).data.count, 4)
  })

  test('a folder in place of the file is a clear error', async () => {
    const path = file()
    mkdirSync(path)
    await assert.rejects(openStore(path, options), { code: 'home_unusable' })
  })
})

describe('store: writing', () => {
  test('4 writers of 500 updates each lose none', async () => {
    const path = file()
    const store = await openStore(path, options)
    const writer = async () => {
      for (let turn = 0; turn < 500; turn += 1) {
        await store.update((data) => ({ ...data, count: data.count + 1 }))
      }
    }
    await Promise.all([writer(), writer(), writer(), writer()])
    assert.equal(store.data.count, 2_000)
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).count, 2_000)
    assert.equal(readdirSync(folder).filter((name) => name.endsWith('.tmp')).length, 0)
  })

  test('unknown keys and the indent survive, the mode stays, a new file is private', async () => {
    const path = file('{"future": {"a": 1}, "count": 1}')
    chmodSync(path, 0o644)
    const store = await openStore(path, { ...options, indent: '\t' })
    await store.update((data) => ({ ...data, count: 2 }))
    assert.equal(readFileSync(path, 'utf8'), '{\n\t"count": 2,\n\t"text": "",\n\t"future": {\n\t\t"a": 1\n\t}\n}\n')
    assert.equal(statSync(path).mode & 0o777, 0o644)
    const fresh = file()
    await (await openStore(fresh, options)).write(empty())
    assert.equal(statSync(fresh).mode & 0o777, 0o600)
  })

  test('a small write after a large one is not overtaken by it', async () => {
    const path = file()
    const store = await openStore(path, options)
    const large = store.write({ count: 1, text: 'x'.repeat(30_000_000) })
    await Promise.all([large, store.write({ count: 2, text: '' })])
    assert.equal(JSON.parse(readFileSync(path, 'utf8')).count, 2)
  })

  test('a change that throws does not affect other changes', async () => {
    const store = await openStore(file(), options)
    const bad = store.update(() => {
      throw new Error('no')
    })
    const good = store.update((data) => ({ ...data, count: data.count + 1 }))
    await assert.rejects(bad, /no/)
    await good
    assert.equal(store.data.count, 1)
  })

  test('a full disk fails with disk_failed and loses nothing, and writes succeed again when there is space', async () => {
    const small = join(folder, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'p2prc-test', small])
    try {
      const path = join(small, 'data.json')
      const store = await openStore(path, options)
      await store.write({ count: 1, text: 'kept' })
      await assert.rejects(store.write({ count: 2, text: 'x'.repeat(200_000) }), {
        code: 'disk_failed',
        message: /the disk is full/,
      })
      assert.deepEqual(store.data, { count: 1, text: 'kept' })
      assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { count: 1, text: 'kept' })
      assert.deepEqual(readdirSync(small), ['data.json'])
      await store.update((data) => ({ ...data, count: data.count + 1 }))
      assert.deepEqual(JSON.parse(readFileSync(path, 'utf8')), { count: 2, text: 'kept' })
    } finally {
      execFileSync('umount', [small])
    }
  })

  test('kill -9 at any moment leaves a complete file', { timeout: 120_000 }, async () => {
    const path = file('{"count": 1, "text": ""}')
    const program = join(folder, 'writer.mjs')
    const contents = `
      import { writeSync } from 'node:fs'
      import { openStore } from './actors/store.ts'
      import { z } from 'zod'
      const store = await openStore(process.argv[2], { schema: z.any(), empty: () => ({ count: 0 }), indent: ' ' })
      for (;;) {
        await store.update(({ count }) => ({ count: count + 1, text: 'x'.repeat((count % 50) * 997) }))
        writeSync(1, store.data.count + '\\n')
      }`
    buildSync({
      stdin: { contents, resolveDir: join(import.meta.dirname, '../..') },
      bundle: true,
      platform: 'node',
      format: 'esm',
      outfile: program,
    })
    let last = 1
    for (let round = 0; round < 50; round += 1) {
      const settled = await killAfter(program, path, Math.random() * 50)
      const found = JSON.parse(readFileSync(path, 'utf8')) as { count: number; text: string }
      assert.equal(found.text.length, ((found.count - 1) % 50) * 997)
      // The writer may be killed between a write and its acknowledgement.
      assert.ok([settled, settled + 1].includes(found.count), `${settled} settled, ${found.count} found`)
      assert.ok(settled > last, 'the writer began with what the one before it had written')
      last = found.count
    }
    await openStore(path, { schema: z.any(), empty, indent: ' ' })
    assert.equal(readdirSync(folder).filter((name) => name.endsWith('.tmp')).length, 0, 'leftovers are removed')
  })
})

/** Kills the writer `ms` after its first write has settled, and resolves with the count of the last one that has. */
async function killAfter(program: string, path: string, ms: number): Promise<number> {
  const child = spawn(process.execPath, [program, path], { stdio: ['ignore', 'pipe', 'inherit'] })
  let counts = ''
  child.stdout.once('data', () => setTimeout(() => child.kill('SIGKILL'), ms))
  child.stdout.on('data', (chunk) => {
    counts += chunk
  })
  await once(child, 'close')
  return Number(counts.trimEnd().split('\n').at(-1))
}

describe("files in P2PRC's form", () => {
  test('keys in any case, null lists, unknown keys, and no password', () => {
    const read = trackContainersFile.parse({
      trackcontainer: [
        {
          id: 'abc',
          Container: {
            sshusername: 'root',
            SSHPassword: 'secret',
            GPU: 'true',
            Ports: { Port: null },
            Extra: 1,
          },
          ipaddress: '10.0.0.1:8088',
          Later: [1],
        },
      ],
    })
    const [record] = read.TrackContainer
    assert.equal(record?.ID, 'abc')
    assert.equal(record?.IpAddress, '10.0.0.1:8088')
    assert.deepEqual(record?.Later, [1])
    assert.equal(record?.Container.SSHUsername, 'root')
    assert.equal(record?.Container.SSHPassword, '')
    assert.equal(record?.Container.GPU, 'true')
    assert.equal(record?.Container.Extra, 1)
    assert.deepEqual(record?.Container.Ports, { Port: [] })
  })

  test('empty files', () => {
    assert.deepEqual(trackContainersFile.parse({}), { TrackContainer: [] })
    assert.deepEqual(trackContainersFile.parse({ TrackContainer: null }), { TrackContainer: [] })
  })
})
