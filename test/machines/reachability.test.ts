import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { createActor, fromCallback, fromPromise, SimulatedClock } from 'xstate'
import {
  addAnswers,
  type DialBackAnswer,
  endpointsOf,
  nextToAsk,
  outsideState,
} from '../../machines/reachability/dialBackAnswers.ts'
import { reachabilityMachine } from '../../machines/reachability.ts'
import { DIAL_BACK_PAUSE_MS } from '../../protocol/defaults/reachability.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { type Endpoint, formatEndpoint, parseEndpoints } from '../../protocol/net/endpoint.ts'
import type { Reach } from '../../protocol/reachability.ts'
import { nodeIdOf } from './samples/common.ts'

const at = (text: string) => parseEndpoints([text])[0] as Endpoint
const why = { code: 'timed_out', message: 'it did not answer' }
const answerOf = (letter: string, text: string, failure?: typeof why): DialBackAnswer => ({
  by: nodeIdOf(letter),
  endpoint: at(text),
  ...(failure && { failure }),
})

test('what peers say decides, an even half suffices, and a network without an outside is unknown', () => {
  const table: [string, DialBackAnswer[], Reach['state'], string[]][] = [
    ['nobody', [], 'unknown', []],
    ['one reached it', [answerOf('a', '20.0.0.1:8088')], 'reachable', ['reachable']],
    ['one did not', [answerOf('a', '20.0.0.1:8088', why)], 'unreachable', ['unreachable']],
    ['half', [answerOf('a', '20.0.0.1:8088', why), answerOf('b', '20.0.0.1:8088')], 'reachable', ['reachable']],
    [
      'fewer',
      [answerOf('a', '20.0.0.1:1', why), answerOf('b', '20.0.0.1:1', why), answerOf('c', '20.0.0.1:1')],
      'unreachable',
      ['unreachable'],
    ],
    [
      'the LAN alone',
      [answerOf('a', '192.168.1.2:8088'), answerOf('b', '100.64.0.1:8088')],
      'unknown',
      ['reachable', 'reachable'],
    ],
    [
      'one family',
      [answerOf('a', '[2001:db9::1]:8088'), answerOf('a', '20.0.0.1:8088', why)],
      'reachable',
      ['reachable', 'unreachable'],
    ],
  ]
  for (const [name, answers, state, each] of table) {
    const endpoints = endpointsOf(answers, [], 5)
    assert.deepEqual([outsideState(endpoints), endpoints.map((one) => one.state)], [state, each], name)
    for (const one of endpoints) assert.deepEqual(one.why, one.state === 'unreachable' ? why : undefined, name)
  }
  const before = endpointsOf([answerOf('a', '20.0.0.1:8088')], [], 5)
  assert.equal(endpointsOf([answerOf('b', '20.0.0.1:8088')], before, 9)[0]?.since, 5, 'since it is so')
  assert.equal(endpointsOf([answerOf('b', '20.0.0.1:8088', why)], before, 9)[0]?.since, 9)
})

test('however many peers answer however often, few answers are kept, and one of each peer', () => {
  const letters = fc.constantFrom(...'abcdefghijklmnop')
  fc.assert(
    fc.property(fc.array(fc.tuple(letters, fc.boolean()), { maxLength: 60 }), (list) => {
      let answers: readonly DialBackAnswer[] = []
      for (const [letter, fails] of list)
        answers = addAnswers(answers, nodeIdOf(letter), [answerOf(letter, '20.0.0.1:8088', fails ? why : undefined)])
      const peers = answers.map(({ by }) => by)
      assert.equal(new Set(peers).size, peers.length)
      assert.ok(peers.length <= 8)
      const last = list.at(-1)
      if (last) assert.deepEqual(answers.at(-1), answerOf(last[0], '20.0.0.1:8088', last[1] ? why : undefined))
    }),
  )
})

test('three peers outside are asked, and more only while those that answer are in the own network', () => {
  const linked = [...'abcdefghijkl'].map(nodeIdOf)
  const play = (endpointOf: (id: NodeId) => string | undefined) => {
    const asked: NodeId[] = []
    let answers: readonly DialBackAnswer[] = []
    for (let id = nextToAsk(linked, asked, answers); id; id = nextToAsk(linked, asked, answers)) {
      asked.push(id)
      const text = endpointOf(id)
      answers = addAnswers(answers, id, text ? [{ by: id, endpoint: at(text) }] : [])
    }
    return asked.length
  }
  assert.equal(
    play(() => '20.0.0.1:8088'),
    3,
  )
  assert.equal(
    play((id) => (id < nodeIdOf('d') ? '192.168.1.2:8088' : '20.0.0.1:8088')),
    6,
  )
  assert.equal(
    play(() => '192.168.1.2:8088'),
    8,
  )
  assert.equal(
    play(() => undefined),
    8,
  )
})

/** A machine whose peers answer as the test says. */
function started(t: TestContext, answer: (id: NodeId) => DialBackAnswer[]) {
  const clock = new SimulatedClock()
  const asked: string[] = []
  const emitted: Reach['state'][] = []
  const actor = createActor(
    reachabilityMachine.provide({
      actors: {
        requestDialBack: fromPromise(async ({ input }) => {
          const [id] = input.ids as [NodeId]
          asked.push(`${id[7]} ${input.port}`)
          return { answers: answer(id), at: 1 }
        }),
        dialBack: fromCallback(() => {}),
        router: fromCallback(() => {}),
      },
    }),
    { clock, input: { port: 8_088, signal: new AbortController().signal } },
  )
  actor.on('reach.changed', ({ state }) => emitted.push(state))
  actor.start()
  t.after(() => actor.stop())
  const settled = () => new Promise<void>((resolve) => setImmediate(() => resolve()))
  const link = async (letter: string) => {
    actor.send({ type: 'link.opened', link: letter, id: nodeIdOf(letter), dialled: true, address: '20.0.0.9:8088' })
    await settled()
  }
  const self = async (...texts: string[]) => {
    actor.send({ type: 'table.selfAddressesChanged', endpoints: parseEndpoints(texts), port: 8_088 })
    await settled()
  }
  const pass = async (ms: number) => {
    clock.increment(ms)
    await settled()
  }
  return { actor, asked, emitted, link, self, pass }
}

test('after a peer that reached this node the next one waits, and after one that did not it is asked at once', async (t) => {
  const failures = new Set<NodeId>([nodeIdOf('d')])
  const { asked, link, pass } = started(t, (id) => [
    { by: id, endpoint: at('20.0.0.1:8088'), ...(failures.has(id) && { failure: why }) },
  ])
  await link('d')
  await link('a')
  assert.deepEqual(asked, ['d 8088', 'a 8088'])
  await link('b')
  await pass(DIAL_BACK_PAUSE_MS - 1)
  assert.equal(asked.length, 2)
  await pass(1)
  assert.deepEqual(asked.slice(2), ['b 8088'])
})

test('a new address asks everybody anew; one that is gone, or named because of the answers, asks nobody', async (t) => {
  const { asked, emitted, link, self, actor } = started(t, (id) => [{ by: id, endpoint: at('20.0.0.1:8088') }])
  assert.deepEqual(emitted, ['unknown'])
  await link('a')
  assert.deepEqual([asked, emitted], [['a 8088'], ['unknown', 'reachable']])
  await self('192.168.1.2:8088')
  assert.equal(asked.length, 2)
  await self('192.168.1.2:8088', '20.0.0.1:8088')
  assert.equal(asked.length, 3)
  await self('192.168.1.2:8088')
  assert.equal(asked.length, 3)
  assert.deepEqual(
    actor.getSnapshot().context.endpoints.map(({ endpoint }) => formatEndpoint(endpoint)),
    ['20.0.0.1:8088'],
  )
})
