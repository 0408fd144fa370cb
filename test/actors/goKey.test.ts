import assert from 'node:assert/strict'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { copyGoKey } from '../../actors/home/goKey.ts'

/** A home with the private key of Go P2PRC. */
function goHome(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'p2prc-gokey-'))
  t.after(() => rmSync(dir, { recursive: true }))
  const goKey = join(dir, 'p2prc.privateKey')
  writeFileSync(goKey, 'OLD')
  chmodSync(goKey, 0o130)
  return { dir, goKey, copy: join(dir, 'go_key'), paths: { dir, key: join(dir, 'id_ed25519') } }
}

const modeOf = (path: string) => statSync(path).mode & 0o777

test('the key of Go is copied privately, once, and anew when it has changed', async (t) => {
  const { goKey, copy, paths } = goHome(t)
  assert.equal(await copyGoKey(paths, goKey), copy)
  assert.deepEqual([readFileSync(copy, 'utf8'), modeOf(copy), modeOf(goKey)], ['OLD', 0o600, 0o130])
  const { ino } = statSync(copy)
  await copyGoKey(paths, goKey)
  assert.equal(statSync(copy).ino, ino, 'nothing is written where nothing has changed')
  chmodSync(goKey, 0o600)
  writeFileSync(goKey, 'NEW')
  utimesSync(goKey, new Date(), new Date(Date.now() + 5_000))
  await copyGoKey(paths, 'p2prc.privateKey')
  assert.equal(readFileSync(copy, 'utf8'), 'NEW')
})

test('the mode that Go gives its key keeps its owner from reading it, but not from copying it', async (t) => {
  const { dir, goKey, copy, paths } = goHome(t)
  // Root can read every file, so that this test acts as another user.
  if (process.getuid?.() === 0) {
    for (const path of [dir, goKey]) chownSync(path, 65_534, -1)
    process.seteuid?.(65_534)
    t.after(() => process.seteuid?.(0))
  }
  assert.throws(() => readFileSync(goKey), { code: 'EACCES' })
  await copyGoKey(paths, goKey)
  assert.deepEqual([readFileSync(copy, 'utf8'), modeOf(copy), modeOf(goKey)], ['OLD', 0o600, 0o130])
})

test('a missing key is none, and a key of ours needs no copy', async (t) => {
  const { dir, paths, copy } = goHome(t)
  for (const configured of ['', 'missing', dir]) assert.equal(await copyGoKey(paths, configured), undefined, configured)
  assert.equal(await copyGoKey(paths, paths.key), paths.key)
  assert.equal(existsSync(copy), false)
})
