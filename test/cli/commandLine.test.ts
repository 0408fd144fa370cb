import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { commandLines } from '../../cli/cliCommands.ts'
import { readCommandLine, wholeNumber } from '../../cli/commandLine.ts'
import { commonFlags, flags, variableOf } from '../../cli/flags.ts'
import { suggest } from '../../cli/suggest.ts'

function read(words: string, env: Record<string, string> = {}) {
  const { options, ...line } = readCommandLine(words === '' ? [] : words.split(' '), env)
  return { ...line, options: Object.fromEntries(options) }
}

const line = (command: string | undefined, args: string[] = [], options: Record<string, string | true> = {}) => ({
  command,
  args,
  options,
  rest: [] as string[],
  legacy: false,
})

describe('command line: what is meant', () => {
  const p2prc = (...given: Parameters<typeof line>) => ({ ...line(...given), legacy: true })
  const table: [string, ReturnType<typeof line> & { parentCommand?: string }][] = [
    ['', line(undefined)],
    ['ps', line('ps')],
    ['ps --json', line('ps', [], { json: true })],
    ['--json ps', line('ps', [], { json: true })],
    ['trust add ssh-ed25519 AAAA me', line('trust add', ['ssh-ed25519', 'AAAA', 'me'])],
    ['touch 10.0.0.1:8088 -p 2 --gpu', line('touch', ['10.0.0.1:8088'], { ports: '2', gpu: true })],
    ['touch -p=2 [::1]:8088', line('touch', ['[::1]:8088'], { ports: '2' })],
    ['rm 01e5', line('rm', ['01e5'])],
    ['rm 007', line('rm', ['007'])],
    ['rm 3f2a 01e5', line('rm', ['3f2a', '01e5'])],
    ['rm --on here:1 01e5 007', line('rm', ['01e5', '007'], { on: 'here:1' })],
    ['rm 3f2a --on here:1 --id 01e5', line('rm', ['3f2a', '01e5'], { on: 'here:1' })],
    ['ps --on here:1', line('ps', [], { on: 'here:1' })],
    ['ssh abc -- uname -a --json', { ...line('ssh', ['abc']), rest: ['uname', '-a', '--json'] }],
    ['logs abc -f -n 5', line('logs', ['abc'], { follow: true, tail: '5' })],
    ['touch h --gpu=false', line('touch', ['h'])],
    ['touch h --gpu=T', line('touch', ['h'], { gpu: true })],
    ['touch h --ports -1', line('touch', ['h'], { ports: '-1' })],
    ['touch h --key=', line('touch', ['h'], { key: '' })],
    ['touch h --image a=b', line('touch', ['h'], { image: 'a=b' })],
    ['touch -', line('touch', ['-'])],
    // What cac by itself would read in another way: numbers, words behind a switch, repeated flags, dashes in values.
    ['touch 007 --gpu', line('touch', ['007'], { gpu: true })],
    ['touch --gpu 007', line('touch', ['007'], { gpu: true })],
    ['touch true --gpu --gpu=false', line('touch', ['true'])],
    ['touch h --ports 007 -p 0x10', line('touch', ['h'], { ports: '0x10' })],
    ['touch h --image --nothing', line('touch', ['h'], { image: '--nothing' })],
    ['group --json create 1e3', line('group create', ['1e3'], { json: true })],
    ['group create --on -1 2 --json 3', line('group create', ['3'], { on: '-1,2', json: true })],
    ['group exec --retry-failed 007', line('group exec', ['007'], { 'retry-failed': true })],
    ['ssh abc -- --', { ...line('ssh', ['abc']), rest: ['--'] }],
    // P2PRC's flags, with one dash and two, in every spelling.
    ['-s', p2prc('start')],
    ['--Server', p2prc('start')],
    ['-s=true', p2prc('start')],
    ['-s=false', line(undefined)],
    ['--touch h:1 -p 2 --GPU', p2prc('touch', ['h:1'], { ports: '2', gpu: true })],
    ['-touch h:1', p2prc('touch', ['h:1'])],
    ['-touch=h:1', p2prc('touch', ['h:1'])],
    ['--CreateVM h:1 --Ports 3 -cn mine', p2prc('touch', ['h:1'], { ports: '3', image: 'mine' })],
    ['--rm h:1 --id 007', p2prc('rm', ['007'], { on: 'h:1' })],
    ['-id 01e5 -rm h:1', p2prc('rm', ['01e5'], { on: 'h:1' })],
    ['--RemoveVM h:1 --ID 3f2a', p2prc('rm', ['3f2a'], { on: 'h:1' })],
    ['-specs h', p2prc('specs', ['h'])],
    ['--Specification=h', p2prc('specs', ['h'])],
    ['--tc', p2prc('ps')],
    ['--TrackedContainers', p2prc('ps')],
    ['-vc', p2prc('config')],
    ['-dc', p2prc('init')],
    ['--cgroup', p2prc('group create')],
    ['--group grp1', p2prc('group show', ['grp1'])],
    ['--group grp1 --id 007', p2prc('group add', ['grp1', '007'])],
    ['-id 01e5 -Group grp1', p2prc('group add', ['grp1', '01e5'])],
    ['--group grp1 --id 007 --rmcgroup', p2prc('group remove', ['grp1', '007'], { rmcgroup: true })],
    ['--groups', p2prc('group ls')],
    ['-rmgroup grp1', p2prc('group rm', ['grp1'])],
    ['-us', p2prc('update')],
    ['--mp 3000', p2prc('map', ['3000'])],
    ['-MAPPort 3000 --udp --ra h:1', p2prc('map', ['3000'], { udp: true, on: 'h:1' })],
    ['--mp 3000 --dn shop.example.org', p2prc('map', ['3000'], { domain: 'shop.example.org' })],
    ['map 3000 --on h', line('map', ['3000'], { on: 'h' })],
    ['map rm --on h 3000/udp', line('map rm', ['3000/udp'], { on: 'h' })],
    ['--UpdateServerList --hops 2', p2prc('update', [], { hops: '2' })],
    ['-ls', p2prc('ls')],
    ['-as 10.0.0.1 -p 8090', p2prc('add', ['10.0.0.1'], { ports: '8090' })],
    ['--arn --ip 10.0.0.1 --Ports 8090', p2prc('add', ['10.0.0.1'], { ports: '8090', replace: true })],
    ['--vp', p2prc('plugin ls')],
    ['--plugin render --id grp1', p2prc('plugin run', ['render'], { id: 'grp1' })],
    ['--pp https://h/a/b/', p2prc('plugin pull', ['https://h/a/b/'])],
    ['--rp render', p2prc('plugin rm', ['render'])],
    // One word and two, and values up to the next flag.
    ['group ls', line('group ls')],
    ['group remove grp1 01e5 007', line('group remove', ['grp1', '01e5', '007'])],
    ['group create --on a b:1 --count 3', line('group create', [], { on: 'a,b:1', count: '3' })],
    ['group create 01e5 --on a,b --on [::1]:1 c', line('group create', ['01e5'], { on: 'a,b,[::1]:1,c' })],
    ['group create --on=a 01e5', line('group create', ['01e5'], { on: 'a' })],
    ['plugin run render --id 01e5 frames=007', line('plugin run', ['render', 'frames=007'], { id: '01e5' })],
    [
      'group exec farm --retry-failed -- ls -l',
      {
        ...line('group exec', ['farm'], { 'retry-failed': true }),
        rest: ['ls', '-l'],
      },
    ],
    ['speed h:1 --direction upload', line('speed', ['h:1'], { direction: 'upload' })],
    ['inventory --list', line('inventory', [], { list: true })],
    ['-v', line(undefined, [], { version: true })],
    ['--version', line(undefined, [], { version: true })],
    ['-h', line(undefined, [], { help: true })],
    ['ps -h', line('ps', [], { help: true })],
    ['help', line(undefined, [], { help: true })],
    ['help ps', line('ps', [], { help: true })],
    ['help group ls', line('group ls', [], { help: true })],
    ['version', line(undefined, [], { version: true })],
    ['help group', { ...line(undefined, [], { help: true }), parentCommand: 'group' }],
    ['group -h', { ...line(undefined, [], { help: true }), parentCommand: 'group' }],
  ]
  for (const [words, expected] of table) test(`p2prc ${words}`, () => assert.deepEqual(read(words), expected))
})

describe('command line: what is refused', () => {
  const table: [string, string, RegExp][] = [
    ['-usx', 'unknown_flag', /"-usx"/],
    ['-touc h', 'unknown_flag', /"-touc"/],
    ['--nothing=5', 'unknown_flag', /"--nothing"/],
    ['--Touch h', 'unknown_flag', /"--Touch"/],
    ['---', 'unknown_flag', /"---"/],
    ['---ports 2', 'unknown_flag', /"---ports"/],
    ['touch h --no-gpu', 'unknown_flag', /"--no-gpu"/],
    ['touch h --ports.x 2', 'unknown_flag', /"--ports\.x"/],
    ['touch h --__proto__ 2', 'unknown_flag', /"--__proto__"/],
    ['touch h --constructor=2', 'unknown_flag', /"--constructor"/],
    ['touch h --gpu -1', 'unknown_flag', /"-1"/],
    ['touch -p -p 2 h', 'missing_value', /--ports needs a value/],
    ['--touch a --touch b', 'bad_request', /Only one command can be given at a time/],
    ['touch', 'usage', /p2prc touch <where>/],
    ['group add farm', 'usage', /p2prc group add <group> <\.\.\.id>/],
    ['ps more 007', 'bad_request', /"ps" takes no "more", "007"/],
    ['ps -ls', 'bad_request', /"ps" and --ls are two commands/],
    ['--group', 'missing_value', /--group needs a value/],
    ['--group grp1 --rmgroup grp1', 'bad_request', /Only one command can be given at a time/],
    ['--rmcgroup', 'bad_request', /--rmcgroup needs a command/],
    ['group create --on', 'missing_value', /--on needs a value/],
    ['group', 'bad_request', /"group" needs another word: create, ls, .* See `p2prc group --help`/],
    ['group foo', 'unknown_command', /"group foo"\. See `p2prc group --help`/],
    ['group crate x', 'unknown_command', /Did you mean `p2prc group create`/],
    ['tuoch h', 'unknown_command', /"tuoch"\. Did you mean `p2prc touch`/],
    ['gruop ls', 'unknown_command', /"gruop"\. Did you mean `p2prc group`/],
    ['touch h --prots 2', 'unknown_flag', /"--prots"\. Did you mean --ports\? See `p2prc touch --help`/],
    ['ssh abc ls -la', 'unknown_flag', /"-la"\. Put what is meant .* `p2prc ssh ID -- ls -l`/],
    ['group exec farm df -h/', 'unknown_flag', /`p2prc group exec GROUP -- ls -l`/],
    ['help fly', 'unknown_command', /"fly"/],
    ['version 2', 'unknown_command', /"version"/],
    ['ls --hops 2', 'bad_request', /"ls" takes no --hops/],
    ['fly', 'unknown_command', /"fly"/],
    ['trust', 'bad_request', /"trust" needs another word/],
    ['fly away now', 'unknown_command', /"fly"\. See `p2prc --help`/],
    ['--tc ps', 'bad_request', /"ps" and --tc are two commands/],
    ['--tc -vc', 'bad_request', /Only one command can be given at a time/],
    ['--touch', 'missing_value', /--touch needs a value/],
    ['--rm h:1', 'missing_value', /--id needs a value/],
    ['--rm h:1 --id', 'missing_value', /--id needs a value/],
    ['--rm h:1 --id --json', 'missing_value', /--id needs a value/],
    ['touch h --ports', 'missing_value', /--ports needs a value/],
    ['ps --ports 2', 'bad_request', /"ps" takes no --ports/],
    ['start --id 3', 'bad_request', /"start" takes no --id/],
    ['--gpu', 'bad_request', /--gpu needs a command/],
    ['touch h --gpu=maybe', 'bad_request', /takes no "maybe"/],
  ]
  for (const [words, code, message] of table) {
    test(`p2prc ${words}`, () => assert.throws(() => read(words), { code, message }))
  }
})

describe('command line: the environment', () => {
  test('P2PRC_ variables stand for flags of the command at hand alone, and a flag wins', () => {
    const env = { P2PRC_PORTS: '3', P2PRC_GPU: 'true', P2PRC_PORT: '9000' }
    assert.deepEqual(read('touch h', env).options, { ports: '3', gpu: true })
    assert.deepEqual(read('touch h -p 1', env).options, { ports: '1', gpu: true })
    assert.deepEqual(read('start', env).options, { port: '9000' })
    assert.deepEqual(read('ps', env).options, {})
    // The same word in another command means something else.
    for (const words of ['add h', 'ls', 'inventory'])
      assert.deepEqual(read(words, { ...env, P2PRC_HOST: '0.0.0.0' }).options, {})
    assert.deepEqual(read('touch h', { P2PRC_PORTS: '', P2PRC_GPU: 'false' }).options, {})
  })

  test('P2PRC’s generic ones do nothing', () => {
    const env = {
      ID: 'x',
      SERVER: 'true',
      GROUP: 'g',
      NUM_PORTS: '4',
      USE_GPU: 'true',
      P2PRC_YES: 'true',
      P2PRC_ID: 'x',
    }
    assert.deepEqual(read('touch h', env).options, {})
    assert.deepEqual(read('rm abc', env), line('rm', ['abc']))
    assert.deepEqual(read('', env), line(undefined))
  })

  test('their names', () => {
    const flag = flags.find(({ name }) => name === 'udp-ports')
    assert.equal(flag && variableOf(flag), 'P2PRC_UDP_PORTS')
  })
})

describe('command line: numbers', () => {
  for (const value of ['0', '1', '64', '007']) {
    test(`${value} is a count`, () => assert.equal(wholeNumber('--ports', value, 0, 64), Number(value)))
  }
  for (const value of ['-1', '65', '65536', 'abc', '1e9', '1e1', '0x10', '1.0', '', ' 1', '+1', '٣', '9'.repeat(30)]) {
    test(`"${value}" is not`, () =>
      assert.throws(() => wholeNumber('--ports', value, 0, 64), {
        code: 'bad_count',
        message: /--ports must be a whole/,
      }))
  }
})

describe('command line: the table', () => {
  test('no spelling means two flags', () => {
    const all = flags.flatMap(({ name, aliases }) => [name, ...aliases])
    assert.equal(new Set(all).size, all.length, all.filter((name, at) => all.indexOf(name) !== at).join())
  })

  test('every flag that a command takes is there, and every flag is taken', () => {
    const names = new Set(flags.map(({ name }) => name))
    const taken = new Set<string>([...commonFlags, 'version', ...commandLines.flatMap(({ flags }) => [...flags])])
    for (const name of taken) assert.ok(names.has(name), name)
    for (const { name, aliasFor } of flags) assert.ok(aliasFor || taken.has(name), name)
  })
})

test('a near word: letters missing, too many, wrong or swapped; none where nothing is near', () => {
  const near = (typed: string) => suggest(typed, ['touch', 'rm', 'ps', 'plugin', 'update'])
  for (const [typed, word] of [
    ['tuoch', 'touch'],
    ['toch', 'touch'],
    ['touchh', 'touch'],
    ['plugins', 'plugin'],
    ['upgrade', undefined],
    ['rn', 'rm'],
    ['x', undefined],
    ['', undefined],
    ['p'.repeat(100_000), undefined],
  ] as const)
    assert.equal(near(typed), word, typed.slice(0, 20))
})
