import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')
const run = promisify(execFile)

/** A separate machine on the link: a network namespace with its own home and processes. */
export interface Machine {
  address: string
  home: string
  /** Runs a program in it to its end and resolves with its output. */
  run(program: string, ...args: string[]): Promise<string>
  start(program: string, args: string[], ready: RegExp, onOutput?: (chunk: string) => void): Promise<ChildProcess>
  /** Starts a node in it and waits until it listens on 8088. */
  startNode(...args: string[]): Promise<ChildProcess>
  /** Runs the command line of its home and parses its output as JSON. */
  p2prc<T>(...args: string[]): Promise<T>
}

export interface ShapedLink {
  machines: readonly Machine[]
  /** Sets a token bucket in both directions of every machine's link. */
  limit(mbit: number): void
  close(): Promise<void>
}

/** The subnets that the machines of a link can share: as at home, in one data center, or by IPv6. */
export const subnets = {
  private: { address: (index: number) => `10.78.0.${index}`, prefix: 24 },
  public: { address: (index: number) => `20.78.0.${index}`, prefix: 24 },
  ipv6: { address: (index: number) => `2a00:78::${index.toString(16)}`, prefix: 64 },
} as const

/** Creates machines on one switch, in namespaces that `close` removes. Needs root. */
export function makeLink(count = 2, subnet: keyof typeof subnets = 'private'): ShapedLink {
  const tag = randomBytes(3).toString('hex')
  const bridge = `p2s${tag}`
  const spaces = Array.from({ length: count }, (_, index) => `p2n${index}${tag}`)
  const children: ChildProcess[] = []
  const homes: string[] = []
  const ip = (...args: string[]) => execFileSync('ip', args, { stdio: 'pipe' })
  ip('netns', 'add', bridge)
  ip('-n', bridge, 'link', 'add', 'br0', 'type', 'bridge')
  ip('-n', bridge, 'link', 'set', 'br0', 'up')
  const machines = spaces.map((space, index) => {
    const address = subnets[subnet].address(index + 1)
    ip('netns', 'add', space)
    ip('link', 'add', 'lan', 'netns', space, 'type', 'veth', 'peer', 'name', `port${index}`, 'netns', bridge)
    ip('-n', bridge, 'link', 'set', `port${index}`, 'master', 'br0', 'up')
    // Without `nodad` an IPv6 address could not be listened on before the kernel knows that nobody else has it.
    const options = subnet === 'ipv6' ? ['nodad'] : []
    ip('-n', space, 'address', 'add', `${address}/${subnets[subnet].prefix}`, 'dev', 'lan', ...options)
    for (const device of ['lan', 'lo']) ip('-n', space, 'link', 'set', device, 'up')
    const home = mkdtempSync(join(tmpdir(), 'p2prc-link-'))
    homes.push(home)
    return machineIn(space, { address, home, children })
  })
  return {
    machines,
    limit(mbit) {
      // The burst is ten milliseconds, as in a modem, and the queue fifty.
      const burst = String(Math.max(16_000, Math.round((mbit * 1e6) / 8 / 100)))
      for (const space of spaces) {
        const args = ['root', 'tbf', 'rate', `${mbit}mbit`, 'burst', burst, 'latency', '50ms']
        execFileSync('ip', ['netns', 'exec', space, 'tc', 'qdisc', 'replace', 'dev', 'lan', ...args], { stdio: 'pipe' })
      }
    },
    async close() {
      for (const child of children) await ended(child)
      for (const space of [...spaces, bridge]) ip('netns', 'delete', space)
      for (const home of homes) rmSync(home, { recursive: true, force: true })
    },
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGINT')
  await gone
}

function machineIn(
  space: string,
  { address, home, children }: { address: string; home: string; children: ChildProcess[] },
): Machine {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env
  const env = { ...inherited, P2PRC: home, DOCKER_HOST: 'unix:///nonexistent/docker.sock' }
  const within = (program: string, args: string[]) => ['netns', 'exec', space, program, ...args]
  const start: Machine['start'] = async (program, args, ready, onOutput) => {
    const child = spawn('ip', within(program, args), { env, stdio: ['ignore', 'pipe', 'pipe'] })
    children.push(child)
    let output = ''
    let isReady = false
    await new Promise<void>((resolve, reject) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (chunk: string) => {
          onOutput?.(chunk)
          if (isReady) return
          output += chunk
          isReady = ready.test(output)
          if (isReady) resolve()
        })
      }
      child.once('exit', () => reject(new Error(`${program} ended: ${output}`)))
    })
    return child
  }
  const runHere = async (program: string, ...args: string[]) => {
    const { stdout } = await run('ip', within(program, args), { env, maxBuffer: 16 * 1024 * 1024 })
    return stdout
  }
  return {
    address,
    home,
    run: runHere,
    start,
    startNode: (...args) =>
      start(process.execPath, [cli, 'start', '--host', address, '--port', '8088', ...args], /:8088/),
    p2prc: async (...args) => {
      const lines = (await runHere(process.execPath, cli, ...args, '--json')).trimEnd().split('\n')
      return JSON.parse(lines.at(-1) as string)
    },
  }
}

/** Resolves with the rate in Mbit/s that iperf3 counts at the receiver, without the first second. */
export async function iperf(to: Machine, from: Machine, seconds: number): Promise<number> {
  const server = await to.start('iperf3', ['-s', '-1', '--forceflush'], /listening/)
  const gone = once(server, 'exit')
  const text = await from.run('iperf3', '-c', to.address, '-t', String(seconds), '-O', '1', '-J')
  await gone
  return JSON.parse(text).end.sum_received.bits_per_second / 1e6
}
