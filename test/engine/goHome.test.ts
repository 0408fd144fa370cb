import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { makeSshKeyPair } from '../../actors/identity.ts'
import { p2prc, p2prcJson, startNode, temporaryHome } from '../support/processes.ts'

/** A home in which Go P2PRC has borrowed a container from a real lender. */
async function goHome(t: TestContext) {
  const [open, borrower] = [temporaryHome(), temporaryHome()]
  const home = borrower.P2PRC as string
  const { where } = await startNode(t, open, '--open')
  const key = join(home, 'p2prc.privateKey')
  spawnSync('ssh-keygen', ['-q', '-t', 'rsa', '-b', '1024', '-m', 'PEM', '-N', '', '-f', key])
  renameSync(`${key}.pub`, join(home, 'p2prc.publicKey'))
  const encoded = encodeURIComponent(readFileSync(join(home, 'p2prc.publicKey')).toString('base64'))
  chmodSync(key, 0o130)
  writeFileSync(join(home, 'config.json'), JSON.stringify({ MachineName: 'gopher', PrivateKeyFile: key }))
  const response = await fetch(`http://${where}/startcontainer?ports=1&PublicKey=${encoded}`)
  const { SSHHostKey: _, ...Container } = (await response.json()) as { ID: string; SSHHostKey: string }
  const { ID } = Container
  // The node has stopped by then, and the command line removes the container itself.
  t.after(() => p2prcJson(open, 'evict', ID, '--yes'))
  const records = join(home, 'client/trackcontainers')
  mkdirSync(records, { recursive: true })
  const loan = { ID, Container, IpAddress: where }
  writeFileSync(join(records, 'trackcontainers.json'), JSON.stringify({ TrackContainer: [loan] }))
  const group = { ID: 'grp0e3b8d6a-6c1b-4a57-8f0e-5f6f1a2b3c4d', TrackContainer: [loan] }
  writeFileSync(join(records, 'grouptrackcontainers.json'), JSON.stringify({ Groups: [group] }))
  return { borrower, home, key, id: ID, group: group.ID, accepted: join(home, 'known_hosts_accepted') }
}

test('a container that Go P2PRC borrowed opens with the key of Go, and another host key is refused later', async (t) => {
  const { borrower, home, key, id, group, accepted } = await goHome(t)
  const shell = () => p2prc(borrower, 'ssh', id, '--', 'id -un')
  const first = await shell()
  assert.deepEqual([first.stdout, first.code], ['root\n', 0], first.stderr)
  assert.deepEqual(await shell(), { code: 0, stdout: 'root\n', stderr: '' })
  assert.equal(statSync(key).mode & 0o777, 0o130, 'the file of Go is as it was')
  assert.equal(statSync(join(home, 'go_key')).mode & 0o777, 0o600)

  const { path, hosts } = await p2prcJson(borrower, 'ssh-config')
  for (const name of hosts[0])
    assert.equal(execFileSync('ssh', ['-F', path, name, 'id -un'], { encoding: 'utf8' }), 'root\n', name)
  const entries = await p2prc(borrower, 'group', 'ssh-config', group)
  const config = join(home, 'group')
  writeFileSync(config, entries.stdout)
  assert.equal(execFileSync('ssh', ['-F', config, hosts[0][0], 'id -un'], { encoding: 'utf8' }), 'root\n')
  const ran = await p2prc(borrower, 'group', 'exec', group, '--', 'id -un')
  assert.deepEqual([ran.stdout, ran.code], [`${id.slice(0, 12)} | root\n`, 0], ran.stderr)

  const inventory = join(home, 'inventory')
  writeFileSync(`${inventory}.json`, JSON.stringify(await p2prcJson(borrower, 'inventory')))
  writeFileSync(inventory, `#!/bin/sh\ncat '${inventory}.json'\n`, { mode: 0o755 })
  const env = { ...process.env, LC_ALL: 'C.UTF-8', ANSIBLE_HOME: home }
  const pong = execFileSync('ansible', ['-i', inventory, 'p2prc', '-m', 'ping'], { encoding: 'utf8', env })
  assert.match(pong, /pong/)

  const [alias, ...remembered] = readFileSync(accepted, 'utf8').trim().split(' ')
  assert.deepEqual([alias, remembered[0]], [`p2prc-${id}`, 'ssh-ed25519'])
  const other = makeSshKeyPair('').publicKey.split(' ')[1]
  writeFileSync(accepted, `${alias} ssh-ed25519 ${other}\n`)
  const changed = await shell()
  assert.deepEqual([changed.stdout, changed.code], ['', 255])
  assert.match(changed.stderr, /Host key verification failed/)
})

test('a plugin runs on a container that Go P2PRC borrowed, whose host key no one has accepted yet', async (t) => {
  const { borrower, home, id, accepted } = await goHome(t)
  const folder = join(home, 'plugin/deploy/mark')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'description.txt'), 'marks')
  writeFileSync(join(folder, 'ports.json'), '{"NumOfPorts": 0}')
  writeFileSync(join(folder, 'site.yml'), '- hosts: all\n  tasks:\n    - name: mark\n      command: touch /data/mark\n')
  for (const flags of [[], ['--stock']]) {
    rmSync(accepted, { force: true })
    const ran = await p2prc(borrower, 'plugin', 'run', 'mark', '--id', id, ...flags)
    assert.equal(ran.code, 0, ran.stdout + ran.stderr)
    assert.match(readFileSync(accepted, 'utf8'), /^p2prc-\w+ ssh-ed25519 /)
  }
  assert.equal((await p2prc(borrower, 'ssh', id, '--', 'ls /data')).stdout, 'mark\n')
})
