import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { isLocked } from '../support/cliHomes.ts'
import { ended, folder, freshHome, hex, homeWith, launch, p2prc, record, speaker } from '../support/cliProgram.ts'

/** What lenders and ssh answer to the real program. */

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
