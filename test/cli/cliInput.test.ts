import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { folder, freshHome, p2prc } from '../support/cliProgram.ts'

/** What is typed wrong or with bad intent, through the real program. */

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
