import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { lstatSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { follow, type Output } from '../../bench/children.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { knownHostsText } from '../../protocol/ssh.ts'
import { p2prcJson, spawnCli, temporaryHome } from './processes.ts'

/** Returns a home whose node finds no container engine. */
export function bareHome(): NodeJS.ProcessEnv & { P2PRC: string } {
  return { P2PRC: temporaryHome().P2PRC as string, DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
}

/** Creates such a home with `change` in its `config.json`. */
export async function configuredHome(change: object) {
  const env = bareHome()
  await p2prcJson(env, 'init')
  const path = join(env.P2PRC, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), ...change }, null, ' '))
  return env
}

export const idOf = (beginning: string) => beginning.padEnd(64, '0')

/** Returns the record of a taken container whose SSH server is on this machine. */
export function recordOf(beginning: string, sshPort = 1, hostKey = ''): Loan {
  const ID = idOf(beginning)
  const port = { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: sshPort, IsUsed: true, Description: '' }
  const Container = { SSHUsername: 'root', SSHHostKey: hostKey, ID, Ports: { Port: [port] }, GPU: 'false' }
  const NodeId = `SHA256:${'A'.repeat(43)}`
  return { ID, Container, IpAddress: '127.0.0.1:1', NodeId, Auth: 'nodeKey' } as unknown as Loan
}

/** Writes these containers to the home's records, as if it had taken them. */
export function remember(env: { P2PRC: string }, ...loans: Loan[]): void {
  const file = join(env.P2PRC, 'client/trackcontainers/trackcontainers.json')
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify({ TrackContainer: loans }, null, '\t'))
  writeFileSync(join(env.P2PRC, 'known_hosts'), knownHostsText(loans))
}

/** Starts the command line as a process, and returns its output and exit. It is killed when the test ends. */
export function launched(t: TestContext, env: NodeJS.ProcessEnv, ...args: string[]): Output & { child: ChildProcess } {
  const child = spawnCli(env, args)
  t.after(() => child.kill('SIGKILL'))
  return Object.assign(follow(child), { child })
}

/** Whether something holds the lock of the home, which is a link that leads nowhere. */
export function isLocked(home: string): boolean {
  return lstatSync(join(home, 'lock'), { throwIfNoEntry: false }) !== undefined
}

/** Waits until nothing holds the lock of the home, as long as a test may take for it. */
export async function unlocked(home: string): Promise<void> {
  const deadline = performance.now() + 30_000
  while (isLocked(home)) {
    assert.ok(performance.now() < deadline, 'the lock of the home is still held')
    await delay(10)
  }
}
