import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { sshConfigOf, syncSshConfig, writeSshConfig } from '../../actors/ssh/sshConfig.ts'
import { createBus } from '../../protocol/bus.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { loanOf, sshRecord } from '../support/pluginContainers.ts'

const id = (start: string) => start.padEnd(64, '0') as ContainerId
const files = {
  key: '/home/x %d/id',
  knownHosts: '/home/x %d/known_hosts',
  acceptedHosts: '/home/x %d/accepted',
  goKey: '/home/x %d/go',
}
const first = loanOf(id('aaaa'), 'ssh-ed25519 AAAA', [sshRecord(2201)])
const second = loanOf(id('bbbb'), 'ssh-ed25519 AAAA', [sshRecord(2202)], '[2001:db8::7]:8088')
const groups = [{ ID: 'grp1', Name: 'farm * !x', TrackContainer: [first, second] }]

let folder: string
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'p2prc-sshconfig-'))
})
after(() => rm(folder, { recursive: true }))

/** Returns the options that OpenSSH itself reads from the file for one name. */
function effective(path: string, name: string): Record<string, string> {
  const out = execFileSync('ssh', ['-F', path, '-G', name], { encoding: 'utf8' })
  return Object.fromEntries(out.split('\n').map((line) => [line.split(' ')[0], line.slice(line.indexOf(' ') + 1)]))
}

test('ssh finds each loan by its short id and its number in its groups, with the pinned host key and the own key', async () => {
  const path = join(folder, 'one')
  await writeSshConfig(path, sshConfigOf([first, second], groups, files))
  for (const name of ['aaaa00000000', 'farm____x-1']) {
    const is = effective(path, name)
    assert.deepEqual([is.hostname, is.port, is.user], ['127.0.0.1', '2201', 'root'])
    // `ssh -G` shows one of them as it is written and the other as it is used.
    assert.deepEqual([is.identityfile, is.userknownhostsfile], ['/home/x %%d/id', '/home/x %d/known_hosts'])
    assert.deepEqual(
      [is.stricthostkeychecking, is.identitiesonly, is.globalknownhostsfile],
      ['true', 'yes', '/dev/null'],
    )
  }
  assert.equal(effective(path, 'farm____x-2').hostname, '2001:db8::7')
  assert.equal(effective(path, 'elsewhere').port, '22')
})

test('a loan that Go borrowed opens with the key of Go, and its first host key is accepted', async () => {
  const path = join(folder, 'go')
  const { Auth: _, ...ofGo } = loanOf(id('cccc'), '', [sshRecord(2203)])
  await writeSshConfig(path, sshConfigOf([ofGo], [], files))
  const is = effective(path, 'cccc00000000')
  assert.deepEqual([is.identityfile, is.userknownhostsfile], ['/home/x %%d/go', '/home/x %d/accepted'])
  assert.deepEqual([is.stricthostkeychecking, is.hostkeyalias], ['accept-new', `p2prc-${id('cccc')}`])
})

test('a damaged record becomes a comment and affects no other; a password loan has no key', () => {
  const hostile = structuredClone(first)
  hostile.ID = id('cccc')
  hostile.Container.SSHUsername = 'root\n  ProxyCommand touch /tmp/x'
  const text = sshConfigOf([hostile, { ...second, Auth: 'password' }], [], files)
  assert.doesNotMatch(text, /ProxyCommand|IdentityFile/)
  assert.match(text, /# cccc00000000: its record is damaged/)
  assert.match(text, /Host bbbb00000000/)
})

test('the file is written atomically and privately, and follows the loans', async () => {
  const path = join(folder, 'config')
  await writeFile(path, 'old')
  await writeSshConfig(path, sshConfigOf([first], [], files))
  assert.equal((await stat(path)).mode & 0o777, 0o600)
  await writeSshConfig(path, sshConfigOf([], [], files))
  assert.doesNotMatch(await readFile(path, 'utf8'), /^Host /m)
  await assert.rejects(writeSshConfig(join(folder, 'none/config'), ''), { code: 'disk_failed' })
  assert.deepEqual((await readdir(folder)).sort(), ['config', 'go', 'one'], 'no temporary file is left')
})

test('the file follows the bus: a taken loan appears, and a returned one disappears', async () => {
  const path = join(folder, 'followed')
  const bus = createBus<BusEvent>()
  const errors: unknown[] = []
  const kept = syncSshConfig(bus, { path, files, onError: (error) => errors.push(error) })
  const changed = (...loans: Loan[]) => bus.publish({ type: 'loan.changed', loans })
  const hosts = async () => {
    await kept.idle()
    return (await readFile(path, 'utf8')).match(/^Host .*$/gm) ?? []
  }
  changed()
  assert.deepEqual(await hosts(), [])
  for (const group of groups) bus.publish({ type: 'group.changed', id: group.ID, group })
  changed(first, second)
  assert.equal((await hosts()).length, 2)
  const { ino } = await stat(path)
  changed(first, second)
  await kept.idle()
  assert.equal((await stat(path)).ino, ino, 'nothing is written where nothing has changed')
  changed(second)
  assert.deepEqual(await hosts(), ['Host bbbb00000000 farm____x-2'])
  bus.publish({ type: 'group.changed', id: 'grp1', group: null })
  assert.deepEqual(await hosts(), ['Host bbbb00000000'])
  kept.undo()
  changed()
  assert.equal((await hosts()).length, 1)
  assert.deepEqual(errors, [])
})
