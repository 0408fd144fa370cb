import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import type { Loan } from '../../protocol/groupTracker.ts'
import { hostKeyCheck, knownHostsText, shellLine, sshArgs, sshKey, withAcceptedKey } from '../../protocol/ssh.ts'
import { HOST_KEY, idOf, replyOf } from '../support/fakeLender.ts'

const files = { knownHosts: '/home/a/known_hosts', acceptedHosts: '/home/a/accepted', key: '/home/a/key', goKey: '/go' }

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

const goLoan: Loan = {
  ID: idOf(1),
  IpAddress: 'go.example:8088',
  Container: loan({}, { SSHHostKey: '' }).Container,
}
const acceptNew = [
  'UserKnownHostsFile=/home/a/accepted',
  'StrictHostKeyChecking=accept-new',
  `HostKeyAlias=p2prc-${idOf(1)}`,
  'HashKnownHosts=no',
].flatMap((option) => ['-o', option])

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
    [goLoan, ['-i', '/go', '-o', 'IdentitiesOnly=yes', '-p', '20001', ...acceptNew, 'root@go.example']],
  ]
  for (const [given, expected] of rows) assert.deepEqual(sshArgs(given, files), expected)
})

test('the key of a record of Go: the one that it names, that of Go, or none; a record of ours needs its host key', () => {
  const { goKey: _, ...noGo } = files
  assert.deepEqual(sshArgs(goLoan, noGo), ['-p', '20001', ...acceptNew, 'root@go.example'])
  assert.equal(sshKey({ ...goLoan, KeyFile: '/k' }, files), '/k')
  assert.equal(sshKey(loan({ Auth: 'userKey' }), files), undefined, "Go's key opens nothing that we borrowed")
  assert.equal(sshKey(loan({ Auth: 'password' }), files), undefined)
  assert.deepEqual(hostKeyCheck(loan({}, { SSHHostKey: '' }), files), {
    file: '/home/a/known_hosts',
    options: ['StrictHostKeyChecking=yes'],
  })
  assert.throws(() => sshArgs({ ...goLoan, ID: 'a b' as Loan['ID'] }, files), { code: 'protocol_error' })
})

test('an accepted host key is read by the id of its container, and never replaces a pinned one', () => {
  const text = `p2prc-${idOf(2)} ssh-ed25519 OTHER\np2prc-${idOf(1)} ${HOST_KEY}\n`
  assert.equal(withAcceptedKey(goLoan, text).Container.SSHHostKey, HOST_KEY)
  assert.equal(withAcceptedKey(goLoan, '').Container.SSHHostKey, '')
  const ours = loan({}, { SSHHostKey: 'ssh-ed25519 PINNED' })
  assert.equal(withAcceptedKey(ours, text), ours)
})

test('a record that would pass an option to ssh is rejected', () => {
  for (const SSHUsername of ['-oProxyCommand=touch x', 'root ', 'a@b', 'a\n'])
    assert.throws(() => sshArgs(loan({}, { SSHUsername }), files), { code: 'protocol_error' }, SSHUsername)
  for (const IpAddress of ['', '-oProxyCommand=x:1', 'a b:1', 'h:0', 'h:99999'])
    assert.throws(() => sshArgs(loan({ IpAddress }), files), { code: 'bad_address' }, IpAddress)
})

test('the real ssh reads unusual paths correctly', () => {
  const strange = { ...files, knownHosts: '/h/a b%h "q"/known_hosts', key: '/h/a b%h/key' }
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
