import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { createOnce, replace } from '../../actors/home/atomicFile.ts'

/**
 * Returns the steps that matter for what a power failure leaves, in their order: each sync with the name of what is
 * synced and its content, and each name that is given or taken. The real ones run behind them.
 */
async function spyOnDisk(t: TestContext, folder: string): Promise<string[]> {
  const steps: string[] = []
  const name = (path: unknown) =>
    path === folder ? 'folder' : basename(String(path)).replace(/\.\d+-\d+\.tmp$/, '.tmp')
  for (const method of ['rename', 'link'] as const) {
    const real = fs[method]
    t.mock.method(fs, method, async (from: string, to: string) => {
      await real(from, to)
      steps.push(`${method} ${name(from)} ${name(to)}`)
    })
  }
  syncBuiltinESMExports()
  const handle = await fs.open(folder, 'r')
  const prototype = Object.getPrototypeOf(handle) as typeof handle
  await handle.close()
  const { sync } = prototype
  t.mock.method(prototype, 'sync', async function (this: typeof handle) {
    await sync.call(this)
    const path = readlinkSync(`/proc/self/fd/${this.fd}`)
    steps.push(`sync ${name(path)}${path === folder ? '' : ` ${readFileSync(path, 'utf8')}`}`)
  })
  t.after(() => {
    t.mock.restoreAll()
    syncBuiltinESMExports()
  })
  return steps
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-atomic-'))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

test('a replaced file is on the disk before it gets its name, and its name before the change has settled', async (t) => {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'data.json'), 'before')
  const steps = await spyOnDisk(t, folder)
  await replace(join(folder, 'data.json'), 'after')
  assert.deepEqual(steps, ['sync data.json.tmp after', 'rename data.json.tmp data.json', 'sync folder'])
})

test('a file that is created once is on the disk before it gets its name, and its name before it has settled', async (t) => {
  const folder = temporaryFolder(t)
  const steps = await spyOnDisk(t, folder)
  assert.equal(await createOnce(join(folder, 'key'), 'secret'), true)
  assert.deepEqual(steps, ['sync key.tmp secret', 'link key.tmp key', 'sync folder'])
})
