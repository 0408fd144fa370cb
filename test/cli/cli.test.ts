import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { dirname, join, resolve } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { acquireLock } from '../../actors/home/lock.ts'
import { homePaths } from '../../actors/homePaths.ts'
import { cliReference } from '../../scripts/cliReference.ts'
import { isLocked } from '../support/cliHomes.ts'

/** The real program, as it is built, in processes of its own, on homes of its own, with no engine to be found. */
const root = resolve(import.meta.dirname, '../..')
const folder = mkdtempSync('/tmp/p2prc-cli-')
const program = join(folder, 'dist/cli.js')
const running = new Set<ChildProcess>()
const servers: Server[] = []

before(() => {
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/build.ts', dirname(program)], { cwd: root })
})
after(() => {
  for (const child of running) child.kill('SIGKILL')
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

let serial = 0
const freshHome = () => join(folder, `home-${++serial}`)

interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

function launch(home: string, args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [program, ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH, P2PRC: home, DOCKER_HOST: `unix://${folder}/no-engine.sock`, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)
  child.on('exit', () => running.delete(child))
  return child
}

async function ended(child: ChildProcess): Promise<Ended> {
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk
  })
  child.stderr?.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk
  })
  const [code] = await once(child, 'close')
  return { code, stdout, stderr }
}

const p2prc = (home: string, ...args: string[]) => ended(launch(home, args))

/** Resolves when the child has printed what matches. */
function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer) => {
      text += chunk
      if (pattern.test(text)) resolve(text)
    }
    child.stdout?.on('data', onData)
    child.stderr?.on('data', onData)
    child.on('exit', (code) => reject(new Error(`ended with ${code} before ${pattern}: ${text}`)))
  })
}

/** Returns a function that returns what the child has printed so far. */
function collect(child: ChildProcess): () => string {
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (chunk) => {
      text += chunk
    })
  return () => text
}

async function startNode(
  home: string,
  ...args: string[]
): Promise<{ child: ChildProcess; text: string; port: number }> {
  const child = launch(home, ['start', '--host', '127.0.0.1', '--port', '0', ...args])
  const text = await printed(child, /listens on 127\.0\.0\.1:\d+[\s\S]*trust add|--open\)/)
  return { child, text, port: Number(/127\.0\.0\.1:(\d+)/.exec(text)?.[1]) }
}

async function signalled(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const exit = once(child, 'exit')
  child.kill(signal)
  return (await exit)[0]
}

/** A server on loopback that answers every connection with `bytes`, or with nothing. */
async function speaker(bytes: string): Promise<{ port: number; connected: Promise<unknown> }> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (bytes) socket.end(bytes)
    else socket.resume()
  })
  servers.push(server)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, connected: once(server, 'connection') }
}

const hex = (beginning: string) => beginning.padEnd(64, '0')

function record(id: string, address = '127.0.0.1:1') {
  const port = { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: 20_000, IsUsed: true, Description: '' }
  const Container = { SSHUsername: 'root', ID: id, Ports: { Port: [port] }, GPU: 'false' }
  return { ID: id, Container, IpAddress: address, NodeId: `SHA256:${'A'.repeat(43)}` }
}

/** A home that remembers these containers. */
function homeWith(...records: object[]): { home: string; file: string; text: string } {
  const home = freshHome()
  const file = join(home, 'client/trackcontainers/trackcontainers.json')
  mkdirSync(dirname(file), { recursive: true })
  const text = JSON.stringify({ TrackContainer: records }, null, '\t')
  writeFileSync(file, text)
  return { home, file, text }
}

describe('cli: help and version', () => {
  test('the version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    for (const spelled of ['-v', '--version'])
      assert.deepEqual(await p2prc(freshHome(), spelled), {
        code: 0,
        stdout: `p2prc version ${version}\n`,
        stderr: '',
      })
  })

  test('help of all and of one, without making a home', async () => {
    const home = freshHome()
    for (const args of [[], ['--help'], ['-h']]) {
      const { code, stdout } = await p2prc(home, ...args)
      assert.equal(code, 0)
      assert.match(stdout, /touch <where>[\s\S]*trust add[\s\S]*--CreateVM[\s\S]*P2PRC_PORTS/)
    }
    const touch = (await p2prc(home, 'touch', '--help')).stdout
    assert.match(touch, /Take a container on another machine\.\n {2}where: .*\n[\s\S]*-p, --ports <count>/)
    assert.equal((await p2prc(home, 'help', 'touch')).stdout, touch)
    for (const args of [
      ['help', 'group'],
      ['group', '--help'],
    ]) {
      const { code, stdout } = await p2prc(home, ...args)
      assert.equal(code, 0)
      assert.match(stdout, /group create \[\.\.\.ids\][\s\S]*group exec/)
      assert.doesNotMatch(stdout, /touch|--CreateVM/)
    }
    assert.equal(existsSync(home), false)
  })

  test('docs/cli.md is the program’s own table', () => {
    assert.equal(readFileSync(join(root, 'docs/cli.md'), 'utf8'), cliReference())
  })

  test('a reader that goes away is no error', async () => {
    const child = launch(freshHome(), ['--help'])
    child.stdout?.destroy()
    let stderr = ''
    child.stderr?.on('data', (chunk) => {
      stderr += chunk
    })
    assert.equal((await once(child, 'close'))[0], 0)
    assert.equal(stderr, '')
  })
})

describe('cli: bad input ends before anything is made', () => {
  const table: [string[], RegExp][] = [
    [['-usx'], /no flag "-usx"/],
    [['--nothing'], /no flag "--nothing"/],
    [['fly'], /no command "fly"/],
    [['touch'], /p2prc touch <where>/],
    [['rm'], /p2prc rm <\.\.\.id>/],
    [['--rm', '127.0.0.1:1'], /--id needs a value/],
    [['--id'], /--id needs a value/],
    [['ps', 'more'], /more/],
    [['ps', '--ports', '1'], /takes no --ports/],
    ...['-1', '65536', 'abc', '1e9', '65', '1.5', '', '٣'].map((count): [string[], RegExp] => [
      ['touch', '127.0.0.1:1', '--ports', count],
      /--ports must be a whole number from 0 to 64/,
    ]),
    [['touch', '127.0.0.1:1', '--udp-ports', '-1'], /--udp-ports must be a whole number/],
    [['logs', 'abc', '--tail', 'many'], /--tail must be a whole number/],
    [['touch', '127.0.0.1:1', '--key', '/nowhere/key.pub'], /not an OpenSSH public key: .*no such file/],
    [['rm', 'abc'], /cannot be undone.*--yes/],
    [['evict', 'abc'], /cannot be undone.*--yes/],
  ]
  for (const [args, message] of table) {
    test(`p2prc ${args.join(' ')}`, async () => {
      const home = freshHome()
      const { code, stdout, stderr } = await p2prc(home, ...args)
      assert.equal(code, 2)
      assert.equal(stdout, '')
      assert.match(stderr, message)
      assert.match(stderr, /^p2prc: [^\n]+\n$/, 'one line')
      assert.equal(existsSync(home), false)
    })
  }
})

describe('cli: without a node', () => {
  test('ids are strings, always', async () => {
    const home = freshHome()
    for (const id of ['01e5', '007', '1e9', '0x10']) {
      const { code, stderr } = await p2prc(home, 'rm', id, '--yes')
      assert.equal(code, 3)
      assert.ok(stderr.includes(`"${id}"`), stderr)
    }
    assert.match((await p2prc(home, '--rm', '127.0.0.1:1', '--id', '007')).stderr, /127\.0\.0\.1:1 cannot be reached/)
  })

  test('two ids that match are refused, and nothing is forgotten', async () => {
    const { home, file, text } = homeWith(record(hex('01e5a')), record(hex('01e5b')))
    for (const args of [
      ['rm', '01e5', '--yes'],
      ['ssh', '01e5'],
      ['logs', '01e5'],
    ]) {
      const { code, stderr } = await p2prc(home, ...args)
      assert.equal(code, 2)
      assert.match(stderr, /matches more than one/)
    }
    assert.equal(readFileSync(file, 'utf8'), text)
  })

  test('ps: P2PRC’s JSON and the present state; --tc the same', async () => {
    const { home, text } = homeWith(record(hex('abc')))
    const { code, stdout } = await p2prc(home, 'ps')
    assert.equal(code, 0)
    const [found] = JSON.parse(stdout).TrackContainer
    assert.equal(found.ID, hex('abc'))
    assert.equal(found.IpAddress, '127.0.0.1:1')
    assert.equal(found.State, 'unreachable')
    assert.ok(stdout.startsWith('{\n\t"TrackContainer": [\n\t\t{'), 'tabs')
    assert.equal((await p2prc(home, '--tc')).stdout, stdout)
    assert.equal((await p2prc(home, 'ps', '--json')).stdout, `${JSON.stringify(JSON.parse(stdout))}\n`, 'one line')
    assert.deepEqual(JSON.parse(text).TrackContainer.length, 1)
  })

  test('a failed remove is not forgotten', async () => {
    const { home, file, text } = homeWith(record(hex('abc')))
    const { code, stderr } = await p2prc(home, 'rm', 'abc', '--yes')
    assert.equal(code, 5, stderr)
    assert.equal(readFileSync(file, 'utf8'), text)
  })

  const files: [string, string, number][] = [
    ['0 bytes', '', 0],
    ['truncated', '{"TrackContainer": [{"ID": "a', 0],
    ['null', 'null', 0],
    ['an older version', '{"Version": 0, "TrackContainer": null}', 0],
    ['a newer version', '{"Version": 99, "TrackContainer": []}', 7],
  ]
  for (const [what, content, expected] of files) {
    test(`trackcontainers.json: ${what}`, async () => {
      const { home, file } = homeWith()
      writeFileSync(file, content)
      const { code, stdout, stderr } = await p2prc(home, 'ps')
      assert.equal(code, expected, stderr)
      if (expected === 0) assert.deepEqual(JSON.parse(stdout), { TrackContainer: [] })
      else assert.match(stderr, /newer P2PRC \(version 99\)/)
      const damaged = what === 'truncated' || what === 'null'
      assert.equal(/trackcontainers\.json could not be read; it was quarantined as /.test(stderr), damaged, stderr)
      const kept = readdirSync(dirname(file)).map((name) => readFileSync(join(dirname(file), name), 'utf8'))
      assert.ok(kept.includes(content), 'what was there is still there')
    })
  }

  test('a damaged config.json is reported', async () => {
    const home = freshHome()
    mkdirSync(home)
    writeFileSync(join(home, 'config.json'), '{"MachineName": "x')
    const { code, stdout, stderr } = await p2prc(home, 'config')
    assert.equal(code, 0)
    assert.equal(JSON.parse(stdout).ServerPort, '8088')
    assert.match(stderr, /config\.json could not be read; it was quarantined as .*damaged-1/)
  })

  test('a home that cannot be used is one sentence and exit 7', async () => {
    const file = join(folder, 'not-a-folder')
    writeFileSync(file, '')
    for (const args of [['ps'], ['start'], ['init']]) {
      const { code, stderr } = await p2prc(join(file, 'home'), ...args)
      assert.equal(code, 7)
      assert.match(stderr, /^p2prc: The home folder .* cannot be used: [^\n]+\n$/)
    }
  })

  test('a full disk is one sentence and exit 7, and nothing is lost', async () => {
    const small = join(folder, 'small')
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'p2prc-test', small])
    try {
      const home = join(small, 'home')
      const key = JSON.parse((await p2prc(freshHome(), 'id')).stdout).key
      assert.equal((await p2prc(home, 'trust', 'add', key)).code, 0)
      const trust = readFileSync(join(home, 'trust.json'), 'utf8')
      execFileSync('sh', ['-c', 'head -c 1000000 /dev/zero > "$1/filler" 2>/dev/null || true', 'sh', small])
      const other = JSON.parse((await p2prc(freshHome(), 'id')).stdout).key
      const { code, stderr } = await p2prc(home, 'trust', 'add', other)
      assert.equal(code, 7)
      assert.match(stderr, /disk is full/)
      assert.equal(readFileSync(join(home, 'trust.json'), 'utf8'), trust)
      rmSync(join(small, 'filler'))
      assert.equal((await p2prc(home, 'trust', 'add', other)).code, 0)
      assert.equal(JSON.parse((await p2prc(home, 'trust', 'ls')).stdout).length, 2)
    } finally {
      execFileSync('umount', [small])
    }
  })

  test('--dc twice makes a home once and prints Success', async () => {
    const home = freshHome()
    assert.deepEqual(await p2prc(home, '-dc'), { code: 0, stdout: 'Success\n', stderr: '' })
    const config = readFileSync(join(home, 'config.json'), 'utf8')
    assert.deepEqual(await p2prc(home, '--dc'), { code: 0, stdout: 'Success\n', stderr: '' })
    assert.equal(readFileSync(join(home, 'config.json'), 'utf8'), config)
    assert.deepEqual(JSON.parse((await p2prc(home, '-vc')).stdout), JSON.parse(config))
  })

  test('trust: by line, by words, by file; a private key never leaves', async () => {
    const home = freshHome()
    const { id, key } = JSON.parse((await p2prc(freshHome(), 'id')).stdout)
    const file = join(folder, 'friend.pub')
    writeFileSync(file, `${key}\n`)
    for (const words of [[key], key.split(' '), [file]]) {
      const { code, stdout, stderr } = await p2prc(home, 'trust', 'add', ...words, '--name', 'friend')
      assert.equal(code, 0, stderr)
      assert.equal(JSON.parse(stdout).id, id)
      assert.equal(JSON.parse((await p2prc(home, 'trust', 'ls')).stdout).length, 1)
      assert.equal((await p2prc(home, 'trust', 'rm', 'friend')).code, 0)
    }
    assert.equal((await p2prc(home, 'trust', 'rm', 'friend')).code, 3)
    const secret = join(home, 'id_ed25519')
    chmodSync(secret, 0o600)
    const { code, stderr } = await p2prc(home, 'trust', 'add', secret)
    assert.equal(code, 2)
    assert.match(stderr, /is a private key/)
    for (const words of ['hello', 'ssh-ed25519', 'ssh-ed25519 AAAA', `ssh-rsa ${key.split(' ')[1]}`]) {
      const refused = await p2prc(home, 'trust', 'add', words)
      assert.equal(refused.code, 2)
      assert.match(refused.stderr, words.includes(' ') ? /not an OpenSSH public key/ : /public key: .*no such file/)
    }
  })

  test('no node: events and stop say so', async () => {
    for (const command of ['events', 'stop']) {
      const { code, stderr } = await p2prc(freshHome(), command)
      assert.equal(code, 7)
      assert.match(stderr, /No node runs with this home folder/)
    }
  })

  test('another command on the same home is waited for', async () => {
    const home = freshHome()
    await p2prc(home, 'init')
    const release = await acquireLock(join(home, 'lock'), { socket: join(home, 'run/control.sock'), waitMs: 0 })
    const child = launch(home, ['ps'])
    const end = ended(child)
    setTimeout(release, 700)
    assert.equal((await end).code, 0)
  })

  test('five at once all get their answer', async () => {
    const home = freshHome()
    const all = await Promise.all(Array.from({ length: 5 }, () => p2prc(home, 'id')))
    assert.deepEqual(
      all.map(({ code, stderr }) => [code, stderr]),
      Array(5).fill([0, '']),
    )
    assert.equal(new Set(all.map(({ stdout }) => JSON.parse(stdout).id)).size, 1)
  })
})

describe('cli: what others answer', () => {
  test('nobody, garbage, and a closed connection', async () => {
    const home = freshHome()
    assert.match((await p2prc(home, 'specs', '127.0.0.1:1')).stderr, /127\.0\.0\.1:1 cannot be reached/)
    for (const bytes of ['\u0000\u0001garbage\r\n\r\n', 'HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nnull']) {
      const { port } = await speaker(bytes)
      const { code, stderr } = await p2prc(home, 'touch', `127.0.0.1:${port}`)
      assert.equal(code, 5, stderr)
    }
    for (const where of ['127.0.0.1:99999', '127.0.0.1:', '[::1', '']) {
      const { code, stderr } = await p2prc(home, 'specs', where)
      assert.ok(code === 2 || code === 3, `${where}: ${code} ${stderr}`)
    }
  })

  test('Ctrl-C while it waits ends it with 130', async () => {
    const home = freshHome()
    const { port, connected } = await speaker('')
    const child = launch(home, ['specs', `127.0.0.1:${port}`])
    const end = ended(child)
    await connected
    child.kill('SIGINT')
    const { code, stderr } = await end
    assert.equal(code, 130)
    assert.equal(stderr, 'p2prc: Interrupted\n')
    assert.equal(isLocked(home), false)
  })
})

describe('cli: nothing that is typed reaches a shell', () => {
  const text = '"; touch p2prc-was-here; "'
  const fields: string[][] = [
    ['touch', text],
    ['touch', '127.0.0.1:1', '--image', text],
    ['touch', '127.0.0.1:1', '--key', text],
    ['touch', '127.0.0.1:1', '--ports', text],
    ['rm', text, '--yes'],
    ['rm', text, 'abc', '--yes'],
    ['--rm', text, '--id', text],
    ['specs', text],
    ['ssh', text],
    ['ssh', 'abc', '--', text],
    ['logs', text],
    ['trust', 'add', text],
    ['trust', 'rm', text],
    ['evict', text, '--yes'],
    ['start', '--host', text, '--port', '0'],
    ['start', '--port', text],
    [text],
    [`--${text}`],
  ]
  for (const args of fields) {
    test(args.join(' '), async () => {
      const { code, stderr } = await p2prc(freshHome(), ...args)
      assert.notEqual(code, 0)
      assert.match(stderr, /^p2prc: /)
      assert.equal(existsSync(join(folder, 'p2prc-was-here')), false)
    })
  }
})

describe('cli: ssh', () => {
  /** A program of that name which writes down its arguments: what is tested is what it is given. */
  function fakeSsh(): string {
    const bin = join(folder, 'bin')
    mkdirSync(bin, { recursive: true })
    writeFileSync(join(bin, 'ssh'), '#!/bin/sh\nfor word in "$@"; do echo "[$word]"; done\nexit 42\n', { mode: 0o755 })
    return bin
  }

  test('gets its arguments as they are, and its exit code is ours', async () => {
    const { home } = homeWith(record(hex('01e5')))
    const words = ['echo', '$HOME; "x"', '--json', '-v']
    const child = launch(home, ['ssh', '01e5', '--', ...words], { PATH: fakeSsh() })
    const { code, stdout, stderr } = await ended(child)
    assert.equal(code, 42, stderr)
    const given = stdout.trim().split('\n')
    assert.deepEqual(
      given.slice(-words.length),
      words.map((word) => `[${word}]`),
    )
    assert.ok(given.includes('[root@127.0.0.1]'), stdout)
    assert.equal(isLocked(home), false)
  })

  test('a missing ssh is said', async () => {
    const { home } = homeWith(record(hex('abc')))
    const { code, stderr } = await ended(launch(home, ['ssh', 'abc'], { PATH: join(folder, 'nowhere') }))
    assert.equal(code, 7)
    assert.match(stderr, /"ssh" is not installed.*openssh-client/)
  })
})

describe('cli: with a running node', () => {
  test('start says what matters, answers, refuses a second, ends with 0 on Ctrl-C', async () => {
    const home = freshHome()
    const { child, text } = await startNode(home)
    assert.match(text, /Node \S+ runs, SHA256:/)
    assert.match(text, /p2prc trust add KEY.*ssh-ed25519 AAAA/)
    assert.equal(statSync(join(home, 'run/control.sock')).mode & 0o777, 0o600)

    assert.deepEqual(JSON.parse((await p2prc(home, 'ps')).stdout), { TrackContainer: [] })
    const before = performance.now()
    const second = await p2prc(home, 'start', '--port', '0')
    assert.ok(performance.now() - before < 1_000, 'within a second')
    assert.equal(second.code, 7)
    assert.match(second.stderr, new RegExp(`process ${child.pid}\\)`))

    const lent = await p2prc(home, 'lent')
    assert.equal(lent.code, 6, lent.stderr)
    assert.match(lent.stderr, /No container engine answers/)
    const build = await p2prc(home, 'image', 'build')
    assert.equal(build.code, 6)
    assert.match(build.stderr, /No container engine answers/)

    assert.equal(await signalled(child, 'SIGINT'), 0)
    assert.equal(isLocked(home), false)
    assert.equal(existsSync(join(home, 'run/control.sock')), false)
  })

  test('without an engine it says what is missing and goes on', async () => {
    const child = launch(freshHome(), ['start', '--host', '127.0.0.1', '--port', '0'])
    await printed(child, /This machine cannot lend: No container engine answers/)
    assert.equal(await signalled(child, 'SIGTERM'), 0)
  })

  test('what is reported before it runs is shown too: a quarantined file', async () => {
    const { home, file } = homeWith()
    writeFileSync(file, 'no JSON')
    const { child, text } = await startNode(home)
    assert.match(text, /trackcontainers\.json could not be read; it was quarantined as .*damaged-1/)
    await signalled(child, 'SIGINT')
  })

  test('stop ends it', async () => {
    const home = freshHome()
    const { child } = await startNode(home)
    const exit = once(child, 'exit')
    const { code, stdout } = await p2prc(home, 'stop')
    assert.equal(code, 0)
    assert.equal(JSON.parse(stdout).pid, child.pid)
    assert.equal((await exit)[0], 0)
  })

  test('a busy port is one sentence and exit 7', async () => {
    const { port } = await speaker('x')
    const { code, stderr } = await p2prc(freshHome(), 'start', '--host', '127.0.0.1', '--port', String(port))
    assert.equal(code, 7)
    assert.match(stderr, new RegExp(`^p2prc: Port ${port} is already in use[^\\n]*\\n$`))
  })

  test('events: NDJSON, the command of another process among them; Ctrl-C ends it', async () => {
    const home = freshHome()
    const { child } = await startNode(home)
    const events = launch(home, ['events', '--json'])
    const listed = printed(events, /"type":"loan\.listed"[\s\S]*\n/)
    // The stream begins some time after the process does.
    let asking = true
    void listed.finally(() => {
      asking = false
    })
    const deadline = performance.now() + 30_000
    while (asking) {
      assert.equal((await p2prc(home, 'ps')).code, 0)
      assert.ok(performance.now() < deadline, 'the command is not shown')
    }
    for (const line of (await listed).split('\n').slice(0, -1)) assert.equal(typeof JSON.parse(line).type, 'string')
    assert.equal(await signalled(events, 'SIGINT'), 130)
    await signalled(child, 'SIGINT')
  })

  test('the text of a caller cannot control the terminal of start or of events, nor reach it through their JSON', async () => {
    // A window title, a colour of one C1 character, and a change of the direction of writing.
    const image = 'ha\u001b]0;owned\u0007llo\u009b31m\u202e!'
    for (const json of [[], ['--json']]) {
      const home = freshHome()
      const child = launch(home, ['start', '--host', '127.0.0.1', '--port', '0', '--open', ...json])
      const shown = collect(child)
      const port = Number(/127\.0\.0\.1:(\d+)/.exec(await printed(child, /127\.0\.0\.1:\d+/))?.[1])
      const events = launch(home, ['events', ...json])
      const followed = collect(events)
      const query = new URLSearchParams({ ContainerName: image, ports: '0' })
      const send = async () => {
        const reply = await fetch(`http://127.0.0.1:${port}/startcontainer?${query}`)
        assert.match(await reply.text(), /no container engine|engine/i)
      }
      // The stream begins some time after the process does.
      const deadline = performance.now() + 30_000
      while (!/container\.create\b[^\n]*llo/.test(followed())) {
        assert.ok(performance.now() < deadline, followed())
        await send()
      }
      await signalled(events, 'SIGINT')
      await signalled(child, 'SIGINT')
      for (const text of [shown(), followed()]) assert.doesNotMatch(text, /(?!\n)[\p{Cc}\p{Bidi_Control}]|owned/u)
    }
  })

  test('after kill -9 the next command works, and so does the next start', async () => {
    const home = freshHome()
    const { child } = await startNode(home)
    await signalled(child, 'SIGKILL')
    assert.ok(isLocked(home))
    const before = performance.now()
    assert.equal((await p2prc(home, 'ps')).code, 0)
    assert.ok(performance.now() - before < 2_000)
    const next = await startNode(home)
    assert.equal(await signalled(next.child, 'SIGINT'), 0)
  })

  test('a node that is killed in the middle of a command is a lost connection', async () => {
    const home = freshHome()
    const { child } = await startNode(home)
    const { port, connected } = await speaker('')
    const asking = ended(launch(home, ['specs', `127.0.0.1:${port}`]))
    await connected
    child.kill('SIGKILL')
    const { code, stderr } = await asking
    assert.equal(code, 5, stderr)
  })

  test('between two nodes: trust is asked for with the line to run, then specs answer', async () => {
    const [lender, borrower] = [freshHome(), freshHome()]
    const { child, port } = await startNode(lender)
    const where = `127.0.0.1:${port}`
    const refused = await p2prc(borrower, 'touch', where)
    assert.equal(refused.code, 4, refused.stderr)
    const { key } = JSON.parse((await p2prc(borrower, 'id')).stdout)
    assert.ok(refused.stderr.includes('p2prc trust add') && refused.stderr.includes(key.split(' ')[1]), refused.stderr)
    assert.equal((await p2prc(lender, 'trust', 'add', key)).code, 0)
    const missing = await p2prc(borrower, '--touch', where)
    assert.equal(missing.code, 6, missing.stderr)
    assert.match(missing.stderr, /engine/)
    const specs = await p2prc(borrower, '-specs', where)
    assert.equal(specs.code, 0, specs.stderr)
    assert.ok(JSON.parse(specs.stdout).RAM > 0)
    await signalled(child, 'SIGINT')
  })

  test('a home far down in the tree has a working socket', async () => {
    const home = join(freshHome(), 'deep/'.repeat(20))
    const elsewhere = dirname(homePaths({ P2PRC: home }).socket)
    try {
      const { child } = await startNode(home)
      assert.equal(statSync(elsewhere).mode & 0o777, 0o700)
      assert.equal((await p2prc(home, 'ps')).code, 0)
      await signalled(child, 'SIGINT')
    } finally {
      rmSync(elsewhere, { recursive: true, force: true })
    }
  })

  test('--quiet prints nothing', async () => {
    const home = freshHome()
    const child = launch(home, ['start', '--host', '127.0.0.1', '--port', '0', '--quiet'])
    const end = ended(child)
    const deadline = performance.now() + 30_000
    for (let stopped = await p2prc(home, 'stop'); stopped.code !== 0; stopped = await p2prc(home, 'stop'))
      assert.ok(child.exitCode === null && performance.now() < deadline, stopped.stderr)
    assert.deepEqual(await end, { code: 0, stdout: '', stderr: '' })
  })
})
