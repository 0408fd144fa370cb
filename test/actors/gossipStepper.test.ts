import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import type { WebSocket } from 'ws'
import { createActor, fromCallback } from 'xstate'
import { createStepper } from '../../actors/gossip/stepper.ts'
import type { Dialer } from '../../actors/net/dialer.ts'
import { gossipMachine } from '../../machines/gossip.ts'
import type { GossipEmits } from '../../protocol/gossip.ts'
import { encode, type WireMessage } from '../../protocol/wire/gossip.ts'
import { fakeLinkSource } from '../support/fakeLinkSource.ts'
import { makeGossipDriver } from '../support/gossipDriver.ts'

/** A machine with the real stepper, and one link on which the test sends what it wants. */
function linkedMachine() {
  const [self, other] = [makeGossipDriver(), makeGossipDriver()]
  const { source, accept } = fakeLinkSource()
  const stop = new AbortController()
  let now = 2_000
  const sent: string[] = []
  let breakOnSend = false
  const socket = Object.assign(new EventEmitter(), {
    ...{ readyState: 1, bufferedAmount: 0, close: () => {}, terminate: () => {} },
    send(text: string) {
      if (breakOnSend) throw new Error('no more')
      sent.push(JSON.parse(text)[0])
    },
  })
  const stepper = createStepper({ dialer: {} as Dialer, source, now: () => now })
  const { name, endpoints, port, version, customInformation, capabilities } = self.state.self.record
  const start = {
    ...{ id: self.id, key: self.key, lastSeq: 0, bootstrapAddresses: [], now, seed: 1, config: {} },
    fields: { name, endpoints, port, version, customInformation, capabilities },
  }
  const events: string[] = []
  const actor = createActor(
    gossipMachine.provide({ actors: { stepper, seqStore: fromCallback<{ type: 'signed'; seq: number }>(() => {}) } }),
    {
      input: { start, tools: self.tools, signal: stop.signal },
      inspect: (event) => {
        if (event.type === '@xstate.event' && event.actorRef === actor) events.push(event.event.type)
      },
    },
  )
  const facts: GossipEmits['type'][] = []
  actor.on('*', (fact) => facts.push(fact.type))
  actor.start()
  accept({ socket: socket as unknown as WebSocket, id: other.id, address: '' })
  const receive = (message: WireMessage, afterMs = 0) => {
    now += afterMs
    socket.emit('message', encode(message), false)
  }
  const { text, signature } = other.record()
  const root = other.tools.digest.root(other.state.members)
  receive({ kind: 'link/hello', body: { record: [text, signature], root, active: true, links: 0 } })
  const ping = (nonce: number): WireMessage => ({ kind: 'probe/ping', body: { nonce, root, active: true } })
  return {
    actor,
    events,
    facts,
    sent,
    receive,
    ping,
    stop,
    breakSockets: () => (breakOnSend = true),
    mendSockets: () => (breakOnSend = false),
  }
}

test('facts and changes of state reach the machine at once', (t) => {
  const { actor, facts, stop } = linkedMachine()
  t.after(() => stop.abort())
  assert.equal(actor.getSnapshot().value, 'connected')
  assert.deepEqual(facts.slice(-2), ['link.opened', 'record.merged'])
  actor.send({ type: 'node.stopping' })
  assert.equal(actor.getSnapshot().value, 'left')
})

test('pings are answered without an event of the machine, which has the state from time to time', (t) => {
  const { actor, events, sent, receive, ping, stop } = linkedMachine()
  t.after(() => stop.abort())
  const [eventsBefore, sentBefore] = [events.length, sent.length]
  const { state } = actor.getSnapshot().context
  for (let nonce = 1; nonce <= 100; nonce += 1) receive(ping(nonce), 250)
  assert.equal(sent.slice(sentBefore).filter((kind) => kind === 'probe/ack').length, 100)
  const reports = events.length - eventsBefore
  assert.ok(reports >= 2 && reports <= 3, `${reports} events in 25 s`)
  assert.notEqual(actor.getSnapshot().context.state, state)
})

test('an error of a step ends the machine with it, so that the supervisor starts another', async (t) => {
  const { actor, sent, receive, ping, stop, breakSockets, mendSockets } = linkedMachine()
  t.after(() => stop.abort())
  const failed = new Promise<unknown>((resolve) => actor.subscribe({ error: resolve }))
  breakSockets()
  receive(ping(1))
  assert.equal(actor.getSnapshot().value, 'failed')
  mendSockets()
  const before = sent.length
  receive(ping(2))
  assert.equal(sent.length, before, 'that was the last step')
  assert.match(String(await failed), /no more/)
})
