import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { homePaths } from '../../actors/homePaths.ts'
import { isLocked } from '../support/cliHomes.ts'
import {
  collect,
  ended,
  freshHome,
  homeWith,
  launch,
  p2prc,
  printed,
  signalled,
  speaker,
  startNode,
} from '../support/cliProgram.ts'

/** The real program as a node, and beside one. */

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

  test('between two nodes: trust is asked for with the line to run, then specs answer', {
    timeout: 60_000,
  }, async () => {
    const [lender, borrower] = [freshHome(), freshHome()]
    const { child, port } = await startNode(lender)
    const where = `127.0.0.1:${port}`
    const shown = printed(child, /Refused .*\n/)
    const refused = await p2prc(borrower, 'touch', where)
    assert.equal(refused.code, 4, refused.stderr)
    const { key } = JSON.parse((await p2prc(borrower, 'id')).stdout)
    const shownKey = key.split(' ', 2).join(' ')
    const notice = `Refused 127.0.0.1, which is not trusted. To let it borrow: p2prc trust add "${shownKey}`
    assert.ok((await shown).includes(notice), `the lender reads whom it refused: ${await shown}`)
    assert.ok(refused.stderr.includes('p2prc trust add') && refused.stderr.includes(key.split(' ')[1]), refused.stderr)
    assert.equal((await p2prc(lender, 'trust', 'add', key)).code, 0)
    const missing = await p2prc(borrower, '--touch', where)
    assert.equal(missing.code, 6, missing.stderr)
    assert.match(missing.stderr, /engine/)
    const nextNotice = printed(child, /Refused .*\n/)
    assert.equal((await fetch(`http://${where}/startcontainer?ports=0`)).status, 403)
    assert.match(await nextNotice, /Refused 127\.0\.0\.1, which has shown no key\. Only `p2prc start --open`/)
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
