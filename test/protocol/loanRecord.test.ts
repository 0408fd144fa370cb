import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loanRef } from '../../protocol/loanRecord.ts'
import { Secret } from '../../protocol/secret.ts'
import { lenderReply } from '../../protocol/wire/lender.ts'
import { HOST_KEY, idOf, replyOf } from '../support/fakeLender.ts'

const port = (changes: object) => ({
  Ports: { Port: [{ ...(replyOf(idOf(1)).Ports as { Port: object[] }).Port[0], ...changes }] },
})

test('a lender’s reply: the password becomes a secret, its SSHCommand is not trusted, unknown keys are removed', () => {
  const reply = lenderReply.parse({ ...replyOf(idOf(1)), SSHPassword: 'hunter2', Extra: 1 })
  assert.ok(reply.SSHPassword instanceof Secret && reply.SSHPassword.reveal() === 'hunter2')
  assert.equal(reply.SSHCommand, '')
  assert.ok(!('Extra' in reply))
  assert.doesNotMatch(JSON.stringify(reply), /hunter2/)
})

test('a malicious reply is rejected', () => {
  const hostile: object[] = [
    { ID: '' },
    { ID: '../../etc/passwd' },
    { ID: 'A'.repeat(64) },
    { ID: '0'.repeat(63) },
    { ID: 7 },
    { SSHUsername: '-oProxyCommand=touch x' },
    { SSHUsername: 'root\n' },
    { SSHUsername: '' },
    { SSHHostKey: '' },
    { SSHHostKey: `${HOST_KEY}\n* ssh-ed25519 AAAA` },
    { SSHHostKey: `@cert-authority * ${HOST_KEY}` },
    { SSHHostKey: `${HOST_KEY} comment` },
    { SSHHostKey: 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB' },
    { SSHPassword: 'a\u001b]0;x\u0007' },
    { SSHPassword: 'x'.repeat(10_000) },
    { TagName: '\u202eevil' },
    { BaseImage: 'x'.repeat(513) },
    { GPU: 'maybe' },
    { Ports: { Port: [] } },
    { Ports: null },
    port({ Type: 'udp' }),
    port({ PortName: 'VNC' }),
    port({ ExternalPort: 0 }),
    port({ ExternalPort: 65_536 }),
    port({ ExternalPort: 1.5 }),
    port({ ExternalPort: '22' }),
    port({ PortName: 'SSH\u0000' }),
    { Ports: { Port: Array.from({ length: 257 }, () => port({}).Ports.Port[0]) } },
  ]
  assert.ok(lenderReply.safeParse({ ...replyOf(idOf(1)), SSHPassword: '' }).success)
  for (const change of hostile) {
    const { success } = lenderReply.safeParse({ ...replyOf(idOf(1)), SSHPassword: '', ...change })
    assert.equal(success, false, JSON.stringify(change).slice(0, 80))
  }
  for (const reply of [null, undefined, [], 'x', 7]) assert.equal(lenderReply.safeParse(reply).success, false)
})

test('ids as people type them: of this version and of Go, but never a path or an option', () => {
  for (const id of ['0', '01e5', '007', idOf(1), 'mXkQ7vLbN3sT9wPzR4hYcE']) assert.ok(loanRef.safeParse(id).success, id)
  for (const id of ['', '-x', '../a', 'a b', '"; touch X; "', '0'.repeat(65), 7])
    assert.ok(!loanRef.safeParse(id).success, String(id))
})
