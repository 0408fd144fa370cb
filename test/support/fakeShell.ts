import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import ssh2 from 'ssh2'
import { makeSshKeyPair, parsePublicKey } from '../../actors/identity.ts'

/**
 * Opens an SSH server on loopback for the real ssh client: it accepts `key` and runs commands in /bin/sh on this
 * machine.
 */
export async function openFakeShell(key: string) {
  const pair = makeSshKeyPair('')
  const clients = new Set<ssh2.Connection>()
  const waiting = new Set<() => void>()
  const allowed = parsePublicKey(key).key.split(' ')[1]
  const server = new ssh2.Server({ hostKeys: [pair.privateKey] }, (client) => {
    clients.add(client)
    client.on('error', () => {})
    client.on('close', () => {
      clients.delete(client)
      for (const check of waiting) check()
    })
    client.on('authentication', (context) => {
      if (context.method === 'publickey' && context.key.data.toString('base64') === allowed) context.accept()
      else context.reject(['publickey'])
    })
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec, _reject, { command }) => {
        const stream = acceptExec()
        const child = spawn('/bin/sh', ['-c', command], { stdio: ['pipe', 'pipe', 'pipe'] })
        // sshd closes the command's standard input when the connection ends, and does not end the command itself.
        child.stdin.on('error', () => {})
        stream.pipe(child.stdin)
        child.stdout.on('data', (chunk) => stream.write(chunk))
        child.stderr.on('data', (chunk) => stream.stderr.write(chunk))
        client.on('close', () => child.stdin.end())
        child.on('close', (code) => {
          stream.exit(code ?? 1)
          stream.end()
        })
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    hostKey: pair.publicKey.trim().split(' ').slice(0, 2).join(' '),
    /** Resolves when at most so many clients are connected. */
    atMost: (count: number) =>
      new Promise<void>((resolve) => {
        const check = () => {
          if (clients.size > count) return
          waiting.delete(check)
          resolve()
        }
        waiting.add(check)
        check()
      }),
    async stop() {
      for (const client of clients) client.end()
      server.close()
    },
  }
}
