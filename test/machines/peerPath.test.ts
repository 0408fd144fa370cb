import assert from 'node:assert/strict'
import { test } from 'node:test'
import { keyProved } from '../../machines/ipTable/peerChange.ts'
import { betterRungs, dialled, notAnswered } from '../../machines/ipTable/peerPath.ts'
import { newRow, type Row, untried } from '../../machines/ipTable/peerRow.ts'
import type { Table } from '../../machines/ipTable/peerTable.ts'
import type { DialFailed, DialSucceeded } from '../../protocol/dialer.ts'
import { newEntry } from '../../protocol/files/ipTable.ts'
import { type Endpoint, formatEndpoint, parseEndpoint } from '../../protocol/net/endpoint.ts'
import { nodeIdOf } from './samples/common.ts'

const id = nodeIdOf('a')
const at = (text: string) => parseEndpoint(text) as Endpoint
const six = at('[2001:4860::1]:8088')
const four = at('203.0.113.1:8088')
const mapped = at('mapped://203.0.113.2:9000')
const punched = at('punched://203.0.113.3:8090')
const relayed = at('relayed://203.0.113.4:20000')
const self = { addresses: ['10.0.0.9', '2001:4860::9'] }

const tableOf = (...endpoints: Endpoint[]): Table =>
  new Map([
    [
      id,
      newRow(
        id,
        newEntry({ NodeId: id, Name: 'anna' }),
        endpoints.map((one) => untried(one)),
      ),
    ],
  ])
const noAnswer = { code: 'unreachable', message: 'no' }
const failedAt = (...endpoints: Endpoint[]) => endpoints.map((endpoint) => ({ endpoint, ...noAnswer }))
const succeeded = (endpoint: Endpoint, when: number, ...before: Endpoint[]): DialSucceeded => ({
  ...{ type: 'dial.succeeded', purpose: 'probe', ms: 1, id, endpoint, at: when },
  ...(before.length > 0 && { attempts: failedAt(...before) }),
})
const failed = (when: number, ...endpoints: Endpoint[]): DialFailed => ({
  ...{ type: 'dial.failed', purpose: 'probe', id, at: when, attempts: failedAt(...endpoints) },
  ...noAnswer,
})
const played = (table: Table, ...dials: (DialSucceeded | DialFailed)[]): Row =>
  dials
    .reduce((now, dial) => (dial.type === 'dial.succeeded' ? dialled(now, dial) : notAnswered(now, dial)), table)
    .get(id) as Row
const textOf = ({ path }: Row) => path && `${formatEndpoint(path.endpoint)} since ${path.since}`

test('the endpoint of the last dial that succeeded is in use, since its rung is', () => {
  const table = tableOf(four, at('203.0.113.9:8088'), relayed)
  const other = at('203.0.113.9:8088')
  const rows: [string, (DialSucceeded | DialFailed)[], string | null][] = [
    ['nothing was dialled', [], null],
    ['a relay answers', [succeeded(relayed, 1)], 'relayed://203.0.113.4:20000 since 1'],
    ['the same one again', [succeeded(relayed, 1), succeeded(relayed, 5)], 'relayed://203.0.113.4:20000 since 1'],
    ['a better rung moves it', [succeeded(relayed, 1), succeeded(four, 5)], '203.0.113.1:8088 since 5'],
    ['another endpoint of the rung', [succeeded(four, 1), succeeded(other, 5)], '203.0.113.9:8088 since 1'],
    ['a worse rung too', [succeeded(four, 1), succeeded(relayed, 5, four)], 'relayed://203.0.113.4:20000 since 5'],
    ['it fails', [succeeded(four, 1), failed(5, four, relayed)], null],
    ['another one fails', [succeeded(four, 1), failed(5, relayed)], '203.0.113.1:8088 since 1'],
  ]
  for (const [name, dials, expected] of rows) assert.equal(textOf(played(table, ...dials)), expected, name)
})

test('an endpoint counts as of the kind that the record of the peer says, wherever it was typed', () => {
  const row = played(tableOf(mapped), succeeded(at('203.0.113.2:9000'), 1))
  assert.equal(textOf(row), 'mapped://203.0.113.2:9000 since 1')
})

test('a dial that was not made says nothing of the endpoint', () => {
  const refused = { ...failed(5, four), attempts: [{ endpoint: four, code: 'dialled_lately', message: 'wait' }] }
  const row = played(tableOf(four), succeeded(four, 1), refused)
  assert.equal(textOf(row), '203.0.113.1:8088 since 1')
  assert.equal(row.endpoints[0]?.failure, undefined)
})

test('why not in a better way: each better rung says what is known of it', () => {
  const all = [six, four, mapped, punched, relayed]
  const missing = { ...noAnswer, code: 'punching_missing' }
  const noPunching = { ...failed(5, punched), attempts: [{ endpoint: punched, ...missing }] }
  const rows: [string, Row, { addresses: string[] }, string[]][] = [
    ['in use: the best', played(tableOf(...all), succeeded(six, 1)), self, []],
    [
      'in use: a relay, and nothing else was tried',
      played(tableOf(...all), succeeded(relayed, 1)),
      self,
      ['untried', 'untried', 'untried', 'untried'],
    ],
    [
      'nothing else is offered',
      played(tableOf(relayed), succeeded(relayed, 1)),
      self,
      ['notOffered', 'notOffered', 'notOffered', 'notOffered'],
    ],
    [
      'what was tried has failed',
      played(tableOf(...all), succeeded(relayed, 4, four, mapped)),
      self,
      ['untried', 'failed', 'failed', 'untried'],
    ],
    [
      'this machine has no IPv6, and no hyperdht',
      played(tableOf(...all), noPunching, succeeded(relayed, 6, six)),
      { addresses: ['10.0.0.9', 'fe80::1'] },
      ['impossible', 'untried', 'untried', 'impossible'],
    ],
    ['nothing is in use', played(tableOf(six), failed(3, six)), self, ['failed', ...Array(4).fill('notOffered')]],
  ]
  for (const [name, row, own, states] of rows)
    assert.deepEqual(
      betterRungs(row, own).map(({ state }) => state),
      states,
      name,
    )
  const [, direct] = betterRungs(played(tableOf(...all), succeeded(relayed, 4, four)), self)
  assert.deepEqual(direct, { rung: 'direct IPv4', state: 'failed', endpoint: four, at: 4, why: noAnswer })
})

test('a rung that has answered, and then another one was faster', () => {
  const contact = { id, name: 'anna', key: 'ssh-ed25519 AAAA', endpoint: four }
  const me = { id: nodeIdOf('s'), name: 'me', port: 1, addresses: [], advertisable: [], information: '' }
  const { table } = keyProved(tableOf(four, relayed), contact, me, 3)
  const row = played(table, succeeded(four, 3), succeeded(relayed, 4))
  assert.deepEqual(betterRungs(row, self)[1], { rung: 'direct IPv4', state: 'answered', endpoint: four })
})
