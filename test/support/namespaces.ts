import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { randomBytes, randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { HOST_PORTS } from '../../protocol/defaults/containerManager.ts'

const cli = resolve(import.meta.dirname, '../..', 'dist', 'cli.js')
const run = promisify(execFile)

/** A node rolls back for 5 s at most before it ends. */
const STOP_MS = 10_000

/** A separate machine: a network namespace with its own home and processes. */
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

/** The network namespaces of one test. Needs root. */
export interface Namespaces {
  /** Their names, as `ip netns` lists them. */
  readonly names: readonly string[]
  /** Creates a namespace with its loopback device up, and returns the name by which `ip netns` knows it. */
  add(label: string): string
  /** Creates a namespace that is a switch. */
  addSwitch(label: string): string
  /** Lays a cable from a new device of a namespace to a switch. `address` includes the length of its prefix. */
  plug(space: string, device: string, hub: string, address: string): void
  ip(...args: string[]): void
  /** Runs a program in a namespace to its end, with `input` as its standard input. */
  exec(space: string, program: string, args: readonly string[], input?: string): void
  /** Sets a token bucket on what leaves through a device. */
  limit(space: string, device: string, mbit: number): void
  /**
   * Makes a machine of a namespace. With `lends` it has this machine's container engine, and what that publishes is at its
   * own loopback address and at `lends`, the device of its LAN.
   */
  machine(space: string, address: string, lends?: string): Machine
  /** Ends all processes in the namespaces, then removes the namespaces and the homes. */
  close(): Promise<void>
}

export function createNamespaces(): Namespaces {
  const tag = randomBytes(3).toString('hex')
  const spaces: string[] = []
  const children: ChildProcess[] = []
  const homes: string[] = []
  const ports = new Map<string, number>()
  const ip = (...args: string[]) => void execFileSync('ip', args, { stdio: 'pipe' })
  const exit = () => process.exit(1)
  const remove = () => {
    process.off('exit', remove).off('SIGTERM', exit)
    for (const space of spaces.splice(0)) {
      // What a process of the test left behind in there would keep the namespace alive without a name.
      const left = execFileSync('ip', ['netns', 'pids', space], { encoding: 'utf8' }).split('\n').filter(Boolean)
      for (const pid of left) killNow(Number(pid))
      ip('netns', 'delete', space)
    }
    for (const home of homes.splice(0)) rmSync(home, { recursive: true, force: true })
  }
  // A test that throws before it can ask for `close`, or that its runner ends, leaves nothing behind either.
  process.once('exit', remove).once('SIGTERM', exit)
  const namespaces: Namespaces = {
    names: spaces,
    ip,
    add(label) {
      const space = `p2${label}${tag}`
      ip('netns', 'add', space)
      spaces.push(space)
      ip('-n', space, 'link', 'set', 'lo', 'up')
      return space
    },
    addSwitch(label) {
      const hub = namespaces.add(label)
      ip('-n', hub, 'link', 'add', 'br0', 'type', 'bridge')
      ip('-n', hub, 'link', 'set', 'br0', 'up')
      return hub
    },
    plug(space, device, hub, address) {
      const count = ports.get(hub) ?? 0
      ports.set(hub, count + 1)
      ip('link', 'add', device, 'netns', space, 'type', 'veth', 'peer', 'name', `port${count}`, 'netns', hub)
      ip('-n', hub, 'link', 'set', `port${count}`, 'master', 'br0', 'up')
      // Without `nodad` an IPv6 address could not be listened on before the kernel knows that nobody else has it.
      const options = address.includes(':') ? ['nodad'] : []
      ip('-n', space, 'address', 'add', address, 'dev', device, ...options)
      ip('-n', space, 'link', 'set', device, 'up')
    },
    exec(space, program, args, input = '') {
      execFileSync('ip', ['netns', 'exec', space, program, ...args], { input, stdio: 'pipe' })
    },
    limit(space, device, mbit) {
      // The burst is ten milliseconds, as in a modem, and the queue fifty.
      const burst = String(Math.max(16_000, Math.round((mbit * 1e6) / 8 / 100)))
      const bucket = ['root', 'tbf', 'rate', `${mbit}mbit`, 'burst', burst, 'latency', '50ms']
      namespaces.exec(space, 'tc', ['qdisc', 'replace', 'dev', device, ...bucket])
    },
    machine(space, address, lends) {
      const home = mkdtempSync(join(tmpdir(), 'p2prc-link-'))
      homes.push(home)
      if (lends) connectEngine(namespaces, space, lends)
      return machineIn(space, { address, home, children, lends: lends !== undefined })
    },
    async close() {
      await Promise.all(children.map(ended))
      remove()
    },
  }
  return namespaces
}

/** A cable to where the engine is, and rules that lead to its published ports there as if they were published here. */
function connectEngine({ ip, exec }: Namespaces, space: string, lan: string): void {
  const net = `10.${randomInt(64, 128)}.${randomInt(256)}`
  ip('link', 'add', `e${space}`, 'type', 'veth', 'peer', 'name', 'engine', 'netns', space)
  ip('address', 'add', `${net}.1/30`, 'dev', `e${space}`)
  ip('link', 'set', `e${space}`, 'up')
  ip('-n', space, 'address', 'add', `${net}.2/30`, 'dev', 'engine')
  ip('-n', space, 'link', 'set', 'engine', 'up')
  exec(space, 'sysctl', ['-q', 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.route_localnet=1'])
  const published = `--dport ${HOST_PORTS.first}:${HOST_PORTS.last} -j DNAT --to-destination ${net}.1`
  const rules = ['tcp', 'udp'].flatMap((protocol) => [
    `-A OUTPUT -d 127.0.0.0/8 -p ${protocol} ${published}`,
    `-A PREROUTING -i ${lan} -p ${protocol} ${published}`,
  ])
  exec(
    space,
    'iptables-restore',
    [],
    ['*nat', ...rules, '-A POSTROUTING -o engine -j MASQUERADE', 'COMMIT', ''].join('\n'),
  )
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It has ended meanwhile.
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGINT')
  const overdue = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  await gone
  clearTimeout(overdue)
}

function machineIn(
  space: string,
  { address, home, children, lends }: { address: string; home: string; children: ChildProcess[]; lends: boolean },
): Machine {
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env
  const env = { ...inherited, P2PRC: home, ...(!lends && { DOCKER_HOST: 'unix:///nonexistent/docker.sock' }) }
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
