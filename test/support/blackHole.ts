import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { TestContext } from 'node:test'

/** The child's program, which listens with the shortest possible queue. */
const PROGRAM = `
const server = require('node:net').createServer()
server.listen({ host: '127.0.0.1', port: 0, backlog: 1 }, () => process.send(server.address().port))
`

/**
 * Opens a port that never answers. Its process is stopped and its accept queue is full, so the kernel drops every
 * SYN, as a firewall that discards packets does.
 */
export async function openBlackHole(t: TestContext): Promise<{ host: string; port: number }> {
  const child = fork('-e', [PROGRAM], { execArgv: [], stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const fillers: Socket[] = []
  t.after(() => {
    for (const socket of fillers) socket.destroy()
    child.kill('SIGKILL')
  })
  const [port] = (await once(child, 'message')) as [number]
  child.kill('SIGSTOP')
  while (!/^State:\s+T/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8'))) await new Promise(setImmediate)
  // A queue of n holds n + 1 connections. Connections beyond it stay half open, as every later one does.
  let queued = 0
  await new Promise<void>((resolve) => {
    for (let count = 0; count < 8; count += 1) {
      const socket = connect(port, '127.0.0.1', () => {
        queued += 1
        if (queued === 2) resolve()
      })
      socket.on('error', () => {})
      fillers.push(socket)
    }
  })
  return { host: '127.0.0.1', port }
}
