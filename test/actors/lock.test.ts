import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { buildSync } from 'esbuild'
import { acquireLock } from '../../actors/home/lock.ts'
import { holderOf } from '../../actors/home/lockHolder.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-lock-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const program = join(folder, 'holder.mjs')
buildSync({
  stdin: {
    // Takes the lock, counts itself in and out of a file, and says when two are inside.
    contents: `
      import { appendFileSync, existsSync, rmSync, writeFileSync } from 'node:fs'
      import { setTimeout as delay } from 'node:timers/promises'
      import { acquireLock } from './actors/home/lock.ts'
      const [, , path, inside, stay] = process.argv
      const release = await acquireLock(path, { socket: '', waitMs: 60_000 })
      try { writeFileSync(inside, '', { flag: 'wx' }) } catch { process.stdout.write('two inside'); process.exit(3) }
      process.stdout.write('held')
      await delay(Number(stay))
      rmSync(inside)
      await release()`,
    resolveDir: join(import.meta.dirname, '../..'),
  },
  bundle: true,
  platform: 'node',
  format: 'esm',
  outfile: program,
})

let serial = 0
const fresh = () => join(folder, `lock-${++serial}`)

function hold(path: string, stayMs: number): ChildProcess {
  return spawn(process.execPath, [program, path, `${path}.inside`, String(stayMs)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

test('a holder that was killed loses it at once', async () => {
  const path = fresh()
  const child = hold(path, 60_000)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  assert.equal(holderOf(path)?.pid, child.pid)
  await assert.rejects(acquireLock(path, { socket: '', waitMs: 0 }), { code: 'home_locked' })
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(holderOf(path), undefined)
  const before = performance.now()
  const release = await acquireLock(path, { socket: '/s', waitMs: 0 })
  assert.ok(performance.now() - before < 2_000)
  assert.deepEqual(holderOf(path), { ...holderOf(path), pid: process.pid, socket: '/s' })
  await release()
  assert.equal(existsSync(path), false)
})

test('a pid that another process has now does not hold it', async () => {
  const path = fresh()
  writeFileSync(path, JSON.stringify({ pid: 1, started: '1', socket: '' }))
  await (await acquireLock(path, { socket: '', waitMs: 0 }))()
})

for (const content of ['', 'null', '{"pid": "x"}', '{"pid": -1, "started": "", "socket": ""}']) {
  test(`a lock file with ${JSON.stringify(content)} is nobody's`, async () => {
    const path = fresh()
    writeFileSync(path, content)
    await (await acquireLock(path, { socket: '', waitMs: 0 }))()
  })
}

test('waiting ends when the holder leaves', async () => {
  const path = fresh()
  const child = hold(path, 300)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const release = await acquireLock(path, { socket: '', waitMs: 10_000 })
  await release()
})

test('of 12 that want a dead one’s lock only one at a time has it', { timeout: 60_000 }, async () => {
  const path = fresh()
  writeFileSync(path, JSON.stringify({ pid: 2 ** 22 - 1, started: '5', socket: '' }))
  const children = Array.from({ length: 12 }, () => hold(path, 5))
  const codes = await Promise.all(children.map(async (child) => (await once(child, 'exit'))[0]))
  assert.deepEqual(codes, Array(12).fill(0))
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(`lock-${serial}`)),
    [],
    'nothing is left',
  )
})

test('an undo that comes late does not take the lock of the next one', async () => {
  const path = fresh()
  const release = await acquireLock(path, { socket: '/a', waitMs: 0 })
  writeFileSync(path, JSON.stringify({ pid: process.pid, started: 'later', socket: '/b' }))
  await release()
  assert.match(readFileSync(path, 'utf8'), /later/)
})
