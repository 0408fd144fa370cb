import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import type { BusEvent } from '../../protocol/index.ts'
import { bareHome, idOf, launched, recordOf, remember } from '../support/cliHomes.ts'
import { HOST_KEY, idOf as lenderId, openFakeLender, replyOf } from '../support/fakeLender.ts'
import { p2prc, p2prcJson } from '../support/processes.ts'

/** The files of what is borrowed, as other programs and accidents leave them. */

const trackFile = (env: { P2PRC: string }) => join(env.P2PRC, 'client/trackcontainers/trackcontainers.json')
const shown = async (env: { P2PRC: string }) =>
  (await p2prcJson(env, 'ps')).TrackContainer.map(({ ID }: { ID: string }) => ID)

test('one entry that cannot be read is named and left out; the others, and their shells, stay', async () => {
  const env = bareHome()
  remember(env, recordOf('0a1', 20_001, HOST_KEY), recordOf('0b2', 20_002, HOST_KEY))
  const file = trackFile(env)
  const bad = { ID: idOf('0c3'), Container: 'gone wrong' }
  const [one, two] = JSON.parse(readFileSync(file, 'utf8')).TrackContainer
  const text = JSON.stringify({ TrackContainer: [one, bad, 7, two] })
  writeFileSync(file, text)
  const groups = join(dirname(file), 'grouptrackcontainers.json')
  writeFileSync(groups, JSON.stringify({ Groups: [{ ID: 'grp1', Name: 'farm', TrackContainer: [one, bad] }, []] }))

  // Programs that only read, such as Ansible, see the good ones too.
  const { _meta } = await p2prcJson(env, 'inventory')
  assert.deepEqual(Object.keys(_meta.hostvars), ['0a1000000000', '0b2000000000'])

  const { code, stderr, stdout } = await p2prc(env, 'ps')
  assert.equal(code, 0, stderr)
  assert.match(
    stderr,
    /trackcontainers\.json: 0c3000000000, number 3 could not be read and was left out, the others stay/,
  )
  assert.match(stderr, /grouptrackcontainers\.json: number 2, 0c3000000000 could not be read/)
  assert.deepEqual(
    JSON.parse(stdout).TrackContainer.map(({ ID }: { ID: string }) => ID),
    [idOf('0a1'), idOf('0b2')],
  )
  const copy = /former file is (\S+trackcontainers\.json\.damaged-1)/.exec(stderr)?.[1]
  assert.equal(readFileSync(copy as string, 'utf8'), text)
  const { stderr: again } = await p2prc(env, 'ps')
  assert.equal(again, '', 'it is said once')
  assert.match(
    readFileSync(join(env.P2PRC, 'ssh_config'), 'utf8'),
    /Host 0a1000000000 farm-1\n[\s\S]*Host 0b2000000000\n/,
  )
  assert.equal((await p2prcJson(env, 'group', 'show', 'farm')).TrackContainer.length, 1)
})

test('an empty file is no surprise in a new home, and is reported where containers were borrowed', async () => {
  const env = bareHome()
  remember(env)
  writeFileSync(trackFile(env), '')
  assert.equal((await p2prc(env, 'ps')).stderr, '')
  remember(env, recordOf('0a1', 20_001, HOST_KEY))
  // A change writes the file beside it, which says what was borrowed.
  await p2prc(env, 'rm', '0a1', '--forget', '--yes')
  writeFileSync(
    join(dirname(trackFile(env)), 'loans.json'),
    JSON.stringify({ Loans: { [idOf('0a1')]: { NodeId: recordOf('0a1').NodeId } } }),
  )
  writeFileSync(trackFile(env), '')
  const { code, stderr } = await p2prc(env, 'ps')
  assert.equal(code, 0)
  assert.match(stderr, /trackcontainers\.json is empty, but 0a1000000000 was borrowed before\. `p2prc ps --on WHERE`/)
  assert.equal(readFileSync(trackFile(env), 'utf8'), '')
  assert.deepEqual(await shown(env), [])
})

test('what Go P2PRC drops when it writes the file comes back from the file beside it', async () => {
  const env = bareHome()
  const record = recordOf('0a1', 20_001, HOST_KEY)
  remember(env, record, recordOf('0b2', 20_002, HOST_KEY))
  // Any change writes both files.
  await p2prc(env, 'rm', '0b2', '--forget', '--yes')
  const kept = join(dirname(trackFile(env)), 'loans.json')
  assert.ok(existsSync(kept), readdirSync(dirname(kept)).join(' '))
  const { NodeId: _, Auth: __, Endpoint: ___, ...asGo } = record
  const { SSHHostKey: ____, ...Container } = asGo.Container
  writeFileSync(trackFile(env), JSON.stringify({ TrackContainer: [{ ...asGo, Container }] }))
  const { _meta } = await p2prcJson(env, 'inventory')
  assert.ok(_meta.hostvars['0a1000000000'].ansible_ssh_private_key_file.endsWith('id_ed25519'))
  const [found] = (await p2prcJson(env, 'ps')).TrackContainer
  assert.deepEqual(
    [found.NodeId, found.Auth, found.Container.SSHHostKey, found.State],
    [record.NodeId, 'nodeKey', HOST_KEY, 'unreachable'],
  )
})

test('--json: what happens as it happens, one object a line, and the result as the last', {
  timeout: 60_000,
}, async (t) => {
  const env = bareHome()
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-json-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const lender = await openFakeLender(folder)
  t.after(() => lender.stop())
  lender.rights.trusted.add((await p2prcJson(env, 'id')).id)
  let requestId = ''
  lender.script.create = (command) => {
    requestId = command.requestId
    return { type: 'container.progress', requestId, step: 'create', line: 'creating' }
  }
  const touch = launched(t, env, 'touch', lender.address, '--json')
  await touch.printed(/"line":"creating"/)
  const container = replyOf(lenderId(1))
  lender.bus.publish({ type: 'container.created', requestId, container } as unknown as BusEvent)
  assert.equal(await touch.ended, 0)
  const [progress, result, ...more] = linesOf(touch.text)
  assert.deepEqual([progress.type, progress.step, progress.line], ['loan.progress', 'create', 'creating'])
  assert.deepEqual([result.ID, result.SSHHostKey, more], [lenderId(1), HOST_KEY, []])

  delete lender.script.create
  const made = await p2prc(env, 'group', 'create', '--on', lender.address, '--json')
  const facts = linesOf(made.stdout)
  assert.ok(facts.length > 1, made.stdout)
  for (const { type } of facts.slice(0, -1)) assert.equal(type, 'group.progress')
  assert.equal(facts.at(-1).TrackContainer.length, 1)
  const updated = linesOf((await p2prc(env, 'update', '--json')).stdout)
  assert.ok(Array.isArray(updated.at(-1).ip_address))
})

const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
