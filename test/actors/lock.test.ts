import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { lstatSync, mkdtempSync, readdirSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { buildSync } from 'esbuild'
import { acquireLock } from '../../actors/home/lock.ts'
import { formatHolder, holderOf } from '../../actors/home/lockHolder.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-lock-'))
after(() => rmSync(folder, { recursive: true, force: true }))

const program = join(folder, 'holder.mjs')
buildSync({
  stdin: {
    // Takes the lock, marks itself inside with a file, and says when two are inside. With a guard it goes on when it is told.
    contents: `
      import fs from 'node:fs/promises'
      import { rmSync, writeFileSync, writeSync } from 'node:fs'
      import { syncBuiltinESMExports } from 'node:module'
      import { createInterface } from 'node:readline'
      import { setTimeout as delay } from 'node:timers/promises'
      import { acquireLock } from './actors/home/lock.ts'
      const [, , path, inside, stay, guard] = process.argv
      const words = guard && createInterface(process.stdin)[Symbol.asyncIterator]()
      if (guard) {
        const { symlink } = fs
        let looked = false
        fs.symlink = async (from, to) => {
          if (to === guard && !looked) {
            looked = true
            writeSync(1, 'looked ')
            await words.next()
          }
          return symlink(from, to)
        }
        syncBuiltinESMExports()
      }
      let waiting = false
      const giveUp = () => {
        if (!waiting) writeSync(1, 'waiting ')
        waiting = true
        return false
      }
      const release = await acquireLock(path, { socket: '', waitMs: 60_000, giveUp })
      try { writeFileSync(inside, '', { flag: 'wx' }) } catch { writeSync(1, 'two inside'); process.exit(3) }
      writeSync(1, 'held')
      if (guard) await words.next()
      else await delay(Number(stay))
      rmSync(inside)
      await release()
      process.exit(0)`,
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
  assert.equal(lstatSync(path, { throwIfNoEntry: false }), undefined)
})

test('a pid that another process has now does not hold it', async () => {
  const path = fresh()
  symlinkSync(formatHolder({ pid: 1, started: '1', socket: '', temporary: false }, folder), path)
  await (await acquireLock(path, { socket: '', waitMs: 0 }))()
})

for (const content of ['', 'null', '{"pid": "x"}', '{"pid": -1, "started": "", "socket": ""}']) {
  test(`a lock file with ${JSON.stringify(content)} is nobody's`, async () => {
    const path = fresh()
    writeFileSync(path, content)
    await (await acquireLock(path, { socket: '', waitMs: 0 }))()
  })
}

for (const target of ['x', '0.1.n:', '-1..n:', '1.1.x:', '/etc/passwd']) {
  test(`a link to ${JSON.stringify(target)} is nobody's`, async () => {
    const path = fresh()
    symlinkSync(target, path)
    await (await acquireLock(path, { socket: '', waitMs: 0 }))()
  })
}

test('a lock of a usual home takes no block of the disk', () => {
  const usual = { pid: 4_194_303, started: '1234567890', temporary: true }
  const homes = [
    ['/home/somebody/.local/state/p2prc', '/run/user/1000/p2prc/control.sock'],
    ['/home/somebody/a/home/with/a/long/path', '/home/somebody/a/home/with/a/long/path/run/control.sock'],
  ] as const
  for (const [home, socket] of homes) {
    const target = formatHolder({ ...usual, socket }, home)
    assert.ok(Buffer.byteLength(target) < 60, target)
  }
})

test('waiting ends when the holder leaves', async () => {
  const path = fresh()
  const child = hold(path, 300)
  await once(child.stdout as NodeJS.ReadableStream, 'data')
  const release = await acquireLock(path, { socket: '', waitMs: 10_000 })
  await release()
})

test('of 12 that want a dead one’s lock only one at a time has it, also if all of them saw it dead', {
  timeout: 60_000,
}, async (t) => {
  const path = fresh()
  const dead = { pid: 2 ** 22 - 1, started: '5', socket: '' }
  symlinkSync(formatHolder({ ...dead, temporary: false }, folder), path)
  const racers = Array.from({ length: 12 }, () => race(t, path, `${path}.${dead.pid}-${dead.started}`))
  await Promise.all(racers.map(({ printed }) => printed('looked')))
  // Each of them has seen the dead holder, and stands between that look and the guard.
  const [first, ...others] = racers as [(typeof racers)[number], ...typeof racers]
  first.write('go on')
  await first.printed('held')
  for (const { write } of others) write('go on')
  await Promise.all(others.map(({ printed }) => printed('waiting')))
  for (const { write } of racers) write('leave')
  assert.deepEqual(await Promise.all(racers.map(({ code }) => code)), Array(12).fill(0))
  assert.deepEqual(
    readdirSync(folder).filter((name) => name.startsWith(`lock-${serial}`)),
    [],
    'nothing is left',
  )
})

/** Starts a process that wants the lock, and that stops before it takes `guard`, the lock named after the dead holder. */
function race(t: TestContext, path: string, guard: string) {
  const child = spawn(process.execPath, [program, path, `${path}.inside`, '', guard], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.after(() => child.kill('SIGKILL'))
  let output = ''
  child.stdout.on('data', (chunk) => {
    output += chunk
  })
  const code = once(child, 'close').then(([code]) => code)
  return {
    code,
    write: (word: string) => child.stdin.write(`${word}\n`),
    /** Resolves when the process has printed the word. */
    async printed(word: string) {
      while (!output.includes(word)) {
        const ended = await Promise.race([once(child.stdout, 'data').then(() => false), code.then(() => true)])
        assert.ok(!ended || output.includes(word), `it ended without "${word}": ${output}`)
      }
    },
  }
}

test('an undo that comes late does not take the lock of the next one', async () => {
  const path = fresh()
  const release = await acquireLock(path, { socket: '/a', waitMs: 0 })
  rmSync(path)
  symlinkSync(formatHolder({ pid: process.pid, started: 'later', socket: '/b', temporary: false }, folder), path)
  await release()
  assert.match(readlinkSync(path), /later/)
})
