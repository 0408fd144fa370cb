import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import type { Loan } from '../../protocol/groupTracker.ts'
import { knownHostsText, shellLine, sshArgs } from '../../protocol/ssh.ts'
import { HOST_KEY, idOf, replyOf } from '../support/fakeLender.ts'

const files = { knownHosts: '/home/a/known_hosts', key: '/home/a/key' }

function loan(changes: Partial<Loan> = {}, container: Record<string, unknown> = {}): Loan {
  const Container = { ...replyOf(idOf(1)), ...container } as unknown as Loan['Container']
  return {
    ID: idOf(1),
    Container,
    IpAddress: '10.0.0.1:8088',
    NodeId: 'SHA256:x' as never,
    Auth: 'nodeKey',
    ...changes,
  }
}

const pinned = ['-o', 'UserKnownHostsFile=/home/a/known_hosts', '-o', 'StrictHostKeyChecking=yes']

test("the arguments for this node's key, the user's key, a password and a record of Go", () => {
  const rows: [Loan, string[]][] = [
    [loan(), ['-i', '/home/a/key', '-o', 'IdentitiesOnly=yes', '-p', '20001', ...pinned, 'root@10.0.0.1']],
    [
      loan({ IpAddress: '[fd00::1]:9' }),
      ['-i', '/home/a/key', '-o', 'IdentitiesOnly=yes', '-p', '20001', ...pinned, 'root@fd00::1'],
    ],
    [loan({ Auth: 'userKey' }), ['-p', '20001', ...pinned, 'root@10.0.0.1']],
    [
      loan({ Auth: 'userKey', KeyFile: '/k' }),
      ['-i', '/k', '-o', 'IdentitiesOnly=yes', '-p', '20001', ...pinned, 'root@10.0.0.1'],
    ],
    [loan({ Auth: 'password' }), ['-o', 'PubkeyAuthentication=no', '-p', '20001', ...pinned, 'root@10.0.0.1']],
    [
      { ID: idOf(1), IpAddress: 'go.example:8088', Container: loan({}, { SSHHostKey: '' }).Container },
      ['-p', '20001', 'root@go.example'],
    ],
  ]
  for (const [given, expected] of rows) assert.deepEqual(sshArgs(given, files), expected)
})

test('a record that would pass an option to ssh is rejected', () => {
  for (const SSHUsername of ['-oProxyCommand=touch x', 'root ', 'a@b', 'a\n'])
    assert.throws(() => sshArgs(loan({}, { SSHUsername }), files), { code: 'protocol_error' }, SSHUsername)
  for (const IpAddress of ['', '-oProxyCommand=x:1', 'a b:1', 'h:0', 'h:99999'])
    assert.throws(() => sshArgs(loan({ IpAddress }), files), { code: 'bad_address' }, IpAddress)
})

test('the real ssh reads unusual paths correctly', () => {
  const strange = { knownHosts: '/h/a b%h "q"/known_hosts', key: '/h/a b%h/key' }
  const shown = execFileSync('ssh', ['-G', ...sshArgs(loan(), strange)], { encoding: 'utf8' })
  assert.match(shown, /^userknownhostsfile \/h\/a b%h "q"\/known_hosts$/m)
  assert.match(shown, /^stricthostkeychecking (true|yes)$/m)
  assert.match(shown, /^port 20001$/m)
  assert.match(shown, /^hostname 10\.0\.0\.1$/m)
  // `ssh -G` prints this path before it expands `%%`.
  assert.match(shown, /^identityfile \/h\/a b%%h\/key$/m)
})

test('shellLine returns a line that can be pasted', () => {
  const words = ['a', 'b c', "it's", '$HOME', '"; touch X; "', '', 'é', 'x=1,2:/%@+-_.']
  const line = shellLine(['printf', '%s\\n', ...words])
  assert.equal(execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' }), `${words.join('\n')}\n`)
})

test('known_hosts has one line per server, the later of two wins, and invalid records are omitted', () => {
  const other = HOST_KEY.replace(/.$/, 'A')
  const text = knownHostsText([
    loan(),
    loan({ IpAddress: '[::1]:7' }),
    loan({}, { SSHHostKey: other }),
    loan({ IpAddress: 'h:1' }, replyOf(idOf(2), 22)),
    loan({ IpAddress: 'not an address' }),
    loan({ IpAddress: 'go:1' }, { SSHHostKey: '' }),
  ])
  assert.equal(text, `[10.0.0.1]:20001 ${other}\n[::1]:20001 ${HOST_KEY}\nh ${HOST_KEY}\n`)
})
