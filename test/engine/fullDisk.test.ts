import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { bareHome } from '../support/cliHomes.ts'
import { p2prc, p2prcJson, temporaryHome } from '../support/processes.ts'

/** A home on a disk of 256 KiB, which is then full. */
async function fullHome(t: TestContext) {
  const disk = temporaryHome().P2PRC as string
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'p2prc-test', disk])
  t.after(() => execFileSync('umount', [disk]))
  const env = { ...bareHome(), P2PRC: join(disk, 'home') }
  await p2prcJson(env, 'ps')
  execFileSync('sh', ['-c', 'head -c 1000000 /dev/zero > "$1/filler" 2>/dev/null || true', 'sh', disk])
  return env
}

test('a full disk: reading commands work, and no command leaves anything', async (t) => {
  const env = await fullHome(t)
  const files = () => readdirSync(env.P2PRC, { recursive: true }).sort()
  const before = files()
  for (const command of ['id', 'ps', 'group ls', 'trust ls', 'ls', 'config', 'inventory', 'ssh-config', 'plugin ls'])
    await p2prcJson(env, ...command.split(' '))
  const { code, stderr } = await p2prc(env, 'describe', 'text')
  assert.equal(code, 7)
  assert.match(stderr, /gossip\.json could not be written: the disk is full\. Free some space;[^\n]*\n$/)
  const started = await p2prc({ ...env, P2PRC: join(env.P2PRC, '../other/home') }, 'ps')
  assert.equal(started.code, 7)
  assert.match(started.stderr, /the disk is full\. Free some space/)
  assert.deepEqual(files(), before)
})
