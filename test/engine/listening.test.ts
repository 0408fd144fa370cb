import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { hostsOf, ownAddresses } from '../../actors/ipTable/listening.ts'
import { temporaryHome } from '../support/processes.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')

test('the own addresses of a node are the one on which it listens, or all of its machine', () => {
  assert.deepEqual(ownAddresses({ port: 1, hosts: hostsOf(['127.0.0.2:8088', '[fd00::1]:8088']) }), [
    '127.0.0.2',
    'fd00::1',
  ])
  for (const hosts of [[], hostsOf(['[::]:8088']), hostsOf(['0.0.0.0:8088'])]) {
    assert.ok(ownAddresses({ port: 1, hosts }).includes('127.0.0.1'))
  }
})

/** Returns the local UDP ports that are open in a network namespace, from the kernel's tables. */
function udpPorts(pid: number): number[] {
  return ['udp', 'udp6']
    .flatMap((name) => readFileSync(`/proc/${pid}/net/${name}`, 'utf8').split('\n').slice(1))
    .flatMap((line) => /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) /.exec(line)?.[1] ?? [])
    .map((port) => Number.parseInt(port, 16))
}

/** Creates a network namespace, and returns its name and a function that runs `ip` in it. */
function createNamespace(t: TestContext) {
  const space = `p2l${randomBytes(3).toString('hex')}`
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
  ip('netns', 'add', space)
  t.after(() => ip('netns', 'delete', space))
  return { space, ip: (...args: string[]) => ip('-n', space, ...args) }
}

type Namespace = ReturnType<typeof createNamespace>

function addLan({ ip }: Namespace): void {
  ip('link', 'add', 'lan', 'type', 'veth', 'peer', 'name', 'far')
  ip('address', 'add', '10.77.9.1/24', 'dev', 'lan')
  for (const device of ['lan', 'far', 'lo']) ip('link', 'set', device, 'up')
}

/** Adds the bridge of this project's containers, with a container's link, without which no bridge is up. */
function addBridge({ ip }: Namespace): void {
  ip('link', 'add', 'p2prc-net', 'type', 'bridge')
  ip('link', 'add', 'veth1', 'type', 'veth', 'peer', 'name', 'inside')
  ip('link', 'set', 'veth1', 'master', 'p2prc-net')
  ip('address', 'add', '172.29.0.1/16', 'dev', 'p2prc-net')
  for (const device of ['p2prc-net', 'veth1', 'inside', 'lo']) ip('link', 'set', device, 'up')
}

const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env

/** Starts a node in the namespace, and resolves with its UDP ports when `wanted` is among them. */
async function portsOf({ space }: Namespace, wanted: number | null, ...host: string[]): Promise<number[]> {
  const node = spawn('ip', ['netns', 'exec', space, process.execPath, cli, 'start', '--port', '8088', ...host], {
    env: { ...inherited, ...temporaryHome(), DOCKER_HOST: 'unix:///nonexistent/docker.sock' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const gone = once(node, 'exit')
  try {
    let output = ''
    await new Promise<void>((listens, ended) => {
      for (const stream of [node.stdout, node.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          output += chunk
          if (/:8088/.test(output) && /No container engine/.test(output)) listens()
        })
      }
      void gone.then(() => ended(new Error(output)))
    })
    // `ip netns exec` has become the node. A socket is bound some time after it was requested, so the same wait shows
    // that a
    // node on loopback requests none.
    const deadline = performance.now() + (wanted === null ? 2_000 : 60_000)
    for (;;) {
      const ports = udpPorts(node.pid ?? 0)
      if (wanted !== null ? ports.includes(wanted) : ports.length > 0) return ports
      if (performance.now() > deadline) return ports
      await pause(20)
    }
  } finally {
    node.kill('SIGINT')
    const [code] = await gone
    assert.equal(code, 0)
  }
}

test('a node on loopback has no mDNS socket, one on the LAN has', async (t) => {
  const lan = createNamespace(t)
  addLan(lan)
  assert.deepEqual(await portsOf(lan, null, '--host', '127.0.0.1'), [])
  assert.ok((await portsOf(lan, 5_353, '--host', '10.77.9.1')).includes(5_353))
  assert.ok((await portsOf(lan, 5_353)).includes(5_353))
})

test('the bridge of a container engine is an own address, but neither advertised nor used for mDNS', async (t) => {
  const both = createNamespace(t)
  addLan(both)
  addBridge(both)
  const script = `import { advertisableAddresses, ownAddresses } from './actors/ipTable/listening.ts'
const all = { port: 1, hosts: ['::'] }
console.log(JSON.stringify([ownAddresses(all), advertisableAddresses(all, { test: false })]))`
  const node = [process.execPath, '--import', 'tsx', '--input-type=module', '-e', script]
  const options = { cwd: resolve(import.meta.dirname, '../..'), env: inherited, encoding: 'utf8' as const }
  const [own, advertised] = JSON.parse(execFileSync('ip', ['netns', 'exec', both.space, ...node], options))
  assert.ok(own.includes('10.77.9.1') && own.includes('172.29.0.1'), own.join())
  assert.deepEqual(advertised, ['10.77.9.1'])

  const bridge = createNamespace(t)
  addBridge(bridge)
  assert.deepEqual(await portsOf(bridge, null), [])
})
