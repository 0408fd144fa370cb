import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { describe, test } from 'node:test'
import { execLine, failureLine, groupsDocument, groupsTable, groupText } from '../../cli/groupTables.ts'
import { peersText, speedText } from '../../cli/peerCommands.ts'
import { peerRows } from '../../cli/peerRows.ts'
import { containersTable, eventLine, loansTable, loanText, ownerLine, trustTable } from '../../cli/tables.ts'
import { createTerminal, list, type OutputOptions, type Streams, table } from '../../cli/terminal.ts'
import type { Revealed } from '../../client/types.ts'
import type { ContainerReply, Port } from '../../protocol/containerManager.ts'
import type { ContainerId, NodeId } from '../../protocol/ids.ts'
import type { Peer } from '../../protocol/ipTable.ts'

/** A terminal on streams that remember what was written. */
function fake({ tty, ...options }: Partial<OutputOptions> & { tty: boolean }) {
  const input = Object.assign(new PassThrough(), { isTTY: tty })
  const out = Object.assign(new PassThrough(), { isTTY: tty })
  const err = Object.assign(new PassThrough(), { isTTY: tty, columns: 20 })
  const streams = { in: input, out, err } as unknown as Streams
  const terminal = createTerminal({ json: false, quiet: false, plain: false, ...options }, streams)
  const textOf = (stream: PassThrough) => String(stream.read() ?? '')
  return { terminal, input, out: () => textOf(out), err: () => textOf(err) }
}

const ESCAPE = '\u001b'
const plain = (_: string, text: string) => text

describe('terminal: values', () => {
  test('text on a terminal, JSON with tabs elsewhere, on one line with --json', () => {
    const onScreen = fake({ tty: true })
    onScreen.terminal.value({ a: 1 }, () => 'one')
    assert.equal(onScreen.out(), 'one\n')
    for (const [options, expected] of [
      [{ tty: false }, '{\n\t"a": 1\n}\n'],
      [{ tty: true, json: true }, '{"a":1}\n'],
    ] as const) {
      const { terminal, out } = fake(options)
      terminal.value({ a: 1 }, () => 'one')
      assert.equal(out(), expected)
    }
  })

  test('colour on a terminal only, and not with NO_COLOR', () => {
    const shown = (options: Parameters<typeof fake>[0]) => {
      const { terminal, out } = fake(options)
      terminal.done({}, 'Done', false)
      return out()
    }
    assert.ok(shown({ tty: true }).includes(ESCAPE))
    assert.equal(shown({ tty: true, plain: true }), '✓ Done\n')
    assert.equal(shown({ tty: false }), '{}\n')
  })

  test('P2PRC’s flags print Success where nobody looks', () => {
    for (const [options, expected] of [
      [{ tty: false }, 'Success\n'],
      [{ tty: true, plain: true }, '✓ Done\n'],
      [{ tty: false, json: true }, '{}\n'],
    ] as const) {
      const { terminal, out } = fake(options)
      terminal.done({}, 'Done', true)
      assert.equal(out(), expected)
    }
  })
})

describe('terminal: streams and progress', () => {
  test('lines, NDJSON, nothing', () => {
    for (const [options, expected] of [
      [{ tty: false }, 'text\n'],
      [{ tty: false, json: true }, '{"type":"a"}\n'],
      [{ tty: false, quiet: true }, ''],
    ] as const) {
      const { terminal, out } = fake(options)
      terminal.line({ type: 'a' }, 'text')
      assert.equal(out(), expected)
    }
  })

  test('progress is one line that is written over on a terminal, and goes before anything else is written', () => {
    const { terminal, out, err } = fake({ tty: true, plain: true })
    terminal.progress({}, 'one')
    terminal.progress({}, `two\n${'x'.repeat(50)}`)
    terminal.note('bad')
    terminal.value({}, () => 'value')
    assert.equal(err(), `one\r${ESCAPE}[2Ktwo ${'x'.repeat(15)}\r${ESCAPE}[2Kp2prc: bad\n`)
    assert.equal(out(), 'value\n')
  })

  test('after Ctrl-C the line is cleared, on a terminal alone', () => {
    const screen = fake({ tty: true })
    screen.terminal.clearLine()
    screen.terminal.note('Interrupted')
    assert.equal(screen.err(), `\r${ESCAPE}[2Kp2prc: Interrupted\n`)
    const piped = fake({ tty: false })
    piped.terminal.clearLine()
    assert.equal(piped.err(), '')
  })

  test('progress is plain lines on stderr elsewhere, and the facts on stdout with --json, before the result, one a line', () => {
    const piped = fake({ tty: false })
    piped.terminal.progress({ step: 1 }, 'one')
    assert.equal(piped.err(), 'one\n')
    assert.equal(piped.out(), '')
    const json = fake({ tty: false, json: true })
    json.terminal.progress({ step: 1 }, 'one')
    json.terminal.value({ list: [1, 2] }, () => 'text')
    assert.equal(json.err(), '')
    assert.equal(json.out(), '{"step":1}\n{"list":[1,2]}\n')
    const quiet = fake({ tty: false, json: true, quiet: true })
    quiet.terminal.progress({ step: 1 }, 'one')
    assert.equal(quiet.out(), '')
  })
})

describe('terminal: a screen that is drawn over', () => {
  test('the lines before go, what does not fit is cut, a pipe is not a screen', () => {
    const { terminal, out } = fake({ tty: true, plain: true })
    assert.equal(terminal.onScreen, true)
    terminal.draw(['one', 'two'])
    terminal.draw(['x'.repeat(200)])
    const written = out().replaceAll(`${ESCAPE}[?7l`, '').replaceAll(`${ESCAPE}[?7h`, '')
    assert.equal(written, `one\ntwo\n\r${ESCAPE}[2A${ESCAPE}[J${'x'.repeat(79)}\n`)
    assert.equal(fake({ tty: false }).terminal.onScreen, false)
    assert.equal(fake({ tty: true, json: true }).terminal.onScreen, false)
  })

  test('more lines than the screen has are not drawn', () => {
    const { terminal, out } = fake({ tty: true, plain: true })
    terminal.draw(Array.from({ length: 100 }, (_, index) => String(index)))
    assert.equal(out().split('\n').length - 1, 23)
  })
})

describe('terminal: questions', () => {
  for (const [answer, expected] of [
    ['y', true],
    ['YES', true],
    ['', false],
    ['n', false],
    ['yesterday', false],
  ] as const) {
    test(`"${answer}" is ${expected ? 'yes' : 'no'}`, async () => {
      const { terminal, input } = fake({ tty: true })
      const asked = terminal.confirm('Sure?', new AbortController().signal)
      input.write(`${answer}\n`)
      assert.equal(await asked, expected)
    })
  }

  test('Ctrl-C ends the question', async () => {
    const { terminal } = fake({ tty: true })
    const abort = new AbortController()
    const asked = terminal.confirm('Sure?', abort.signal)
    abort.abort()
    await assert.rejects(asked, { code: 'interrupted' })
  })

  test('so does Ctrl-C as a key, which is no signal there', async () => {
    const { terminal, input } = fake({ tty: true })
    const asked = terminal.confirm('Sure?', new AbortController().signal)
    input.write('\u0003')
    await assert.rejects(asked, { code: 'interrupted' })
  })

  test('only a person is asked', () => {
    assert.equal(fake({ tty: true }).terminal.interactive, true)
    assert.equal(fake({ tty: false }).terminal.interactive, false)
  })
})

describe('tables', () => {
  test('columns are aligned, cells are one line, nothing hangs at the ends', () => {
    assert.equal(
      table(
        ['ID', 'STATE'],
        [
          ['a', 'it\nruns'],
          ['longer', 'x'],
        ],
        plain,
      ),
      'ID      STATE\na       it runs\nlonger  x',
    )
    assert.equal(
      list(
        [
          ['Name', 'x'],
          ['Key', 'a\tb'],
        ],
        plain,
      ),
      'Name  x\nKey   a b',
    )
  })

  const port = (PortName: string, InternalPort: number, ExternalPort: number, Type: 'tcp' | 'udp' = 'tcp'): Port => ({
    ...{ PortName, InternalPort, ExternalPort, Type, IsUsed: false, Description: '' },
  })
  const Container = {
    SSHPassword: '',
    GPU: 'false',
    Ports: { Port: [port('SSH', 22, 20_000), port('AutoGen Port', 20_001, 20_001), port('x', 53, 20_002, 'udp')] },
    SSHCommand: 'ssh -p 20000 root@h',
  } as Revealed<ContainerReply>
  const loan = { ID: 'a'.repeat(64) as ContainerId, IpAddress: 'h:8088', Container }

  test('loans', () => {
    const text = loansTable([{ ...loan, state: 'running' }], plain)
    assert.match(text, /^aaaaaaaaaaaa\s+running\s+h:8088\s+ssh 20000→22 20001 20002→53\/udp\s+no$/m)
    assert.match(loansTable([], plain), /p2prc touch/)
  })

  test('a password is shown with the loan that brought it, and only then', () => {
    assert.doesNotMatch(loanText(loan, plain), /Password/)
    const withPassword = { ...loan, Container: { ...Container, SSHPassword: 'hunter2' } }
    assert.match(loanText(withPassword, plain), /Password\s+hunter2 \(shown once\)/)
    assert.doesNotMatch(loansTable([{ ...withPassword, state: 'running' }], plain), /hunter2/)
  })

  test('groups: their containers, where each is, and how it is', () => {
    const group = { ID: 'grp01234567-89ab', Name: 'farm', TrackContainer: [{ ...loan, state: 'gone' as const }] }
    assert.match(groupsTable([group], plain), /^grp01234567\s+farm\s+1\s+h:8088$/m)
    assert.match(groupsTable([], plain), /p2prc group create/)
    assert.match(
      groupText(group, plain),
      /^Group\s+grp01234567-89ab\nName\s+farm\n\n[\s\S]*^aaaaaaaaaaaa\s+gone\s+h:8088/m,
    )
    assert.match(groupText({ ...group, TrackContainer: [] }, plain), /The group is empty/)
    assert.deepEqual(groupsDocument([{ ...group, TrackContainer: [] }], true), {
      Groups: [{ ID: 'grp01234567-89ab', Name: 'farm', TrackContainer: null }],
    })
    assert.deepEqual(groupsDocument([], true), { Groups: null })
    assert.deepEqual(groupsDocument([], false), { Groups: [] })
    assert.equal(execLine({ id: loan.ID, exit: 7 }), 'aaaaaaaaaaaa: exit code 7')
    assert.equal(failureLine({ member: 'h:1', code: 'x', message: 'No.' }), 'h:1: No.')
  })

  test('machines: a table, and what to do where there is none', () => {
    const peer = {
      name: 'ann',
      endpoints: [{ kind: 'direct', host: '10.0.0.1', port: 8088 }],
      latencyNs: 2_000_000,
      download: null,
      upload: null,
      specs: null,
      information: '',
    }
    const rows = peerRows([{ ...peer, state: 'answering', answeredAgoMs: 4_000 } as Peer])
    assert.match(
      peersText(rows, 1, plain),
      /^NAME[\s\S]*^ann\s+10\.0\.0\.1:8088\s+2\.00 ms.*answered 4 s ago\s+direct IPv4/m,
    )
    assert.match(peersText([], 0, plain), /p2prc add/)
    assert.match(peersText([], 3, plain), /^No known machine matches\.$/)
  })

  test('a speed test', () => {
    const endpoint = { kind: 'direct' as const, host: '::1', port: 8088 }
    const measured = { endpoint, download: 93.54, upload: null, latencyNs: 1e6, latencyMedianNs: 2.5e6 }
    assert.equal(
      speedText(measured, plain),
      'Machine   [::1]:8088\nLatency   1.00 ms, 2.50 ms median\nDownload  93.5 Mbit/s\nUpload    ?',
    )
  })

  test('lent containers and trusted peers', () => {
    const container = {
      ...{
        id: 'b'.repeat(64) as ContainerId,
        requestId: 'r',
        borrower: 'SHA256:x' as NodeId,
        state: 'running' as const,
      },
      ...{ image: 'ssh', createdAt: 1_000, ports: [], gpu: true },
    }
    const ann = { id: 'SHA256:x' as NodeId, name: 'ann', key: 'ssh-ed25519 A' }
    for (const [trusted, to] of [
      [[], 'SHA256:x'],
      [[ann], 'ann'],
    ] as const)
      assert.match(
        containersTable([container], trusted, plain, 7_201_000),
        new RegExp(`^bbbbbbbbbbbb\\s+running\\s+${to}\\s+2 h\\s+ssh\\s+yes$`, 'm'),
      )
    assert.match(
      trustTable([{ id: 'SHA256:x' as NodeId, name: 'ann', key: 'ssh-ed25519 A' }], plain),
      /^ann\s+SHA256:x/m,
    )
  })

  test('events: what the owner sees, and every one for `events`', () => {
    assert.equal(ownerLine({ type: 'container.listed', requestId: 'r' }), undefined)
    assert.equal(ownerLine({ type: 'container.createFailed', message: 'No room' }), 'No room')
    assert.equal(ownerLine({ type: 'engine.lost', message: 'gone' }), 'This machine cannot lend: gone')
    const failed = { type: 'container.createFailed', message: 'Wrong' }
    assert.equal(
      ownerLine({ ...failed, code: 'abandoned' }),
      'The borrower hung up; its unfinished container was removed.',
    )
    for (const code of ['bad_request', 'not_trusted', 'not_found'])
      assert.equal(ownerLine({ ...failed, code }), undefined)
    assert.equal(ownerLine({ ...failed, code: 'engine_failed' }), 'Wrong')
    assert.equal(eventLine({ type: 'a.b', x: 1, y: 'z', w: { v: [1] } }), 'a.b x=1 y=z w={"v":[1]}')
  })
})
