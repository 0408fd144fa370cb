import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { acquireLock } from '../../actors/home/lock.ts'
import { ended, folder, freshHome, hex, homeWith, launch, p2prc, record } from '../support/cliProgram.ts'

/** The real program on homes on which no node runs. */

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
