import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { mock, type TestContext, test } from 'node:test'
import { openFactStream } from '../../../actors/listeners/factStream.ts'
import { EVENTS_BACKLOG_MAX_BYTES, HEARTBEAT_INTERVAL_MS } from '../../../protocol/defaults/listeners.ts'

class FakeResponse extends EventEmitter {
  written = ''
  writableLength = 0
  destroyed = false
  writeHead() {}
  flushHeaders() {}
  write(text: string) {
    this.written += text
  }
  end() {
    this.written += '<end>'
  }
}

/** Opens a stream that ends with its test, because its heartbeat would keep the process alive after a failed one. */
function open(t: TestContext) {
  const response = new FakeResponse()
  let gone = 0
  const stream = openFactStream(response as unknown as ServerResponse, () => {
    gone += 1
  })
  t.after(() => stream.end())
  return { response, stream, gone: () => gone }
}

test('an empty line every HEARTBEAT_INTERVAL_MS is the heartbeat of the server, until the end', (t) => {
  mock.timers.enable({ apis: ['setInterval'] })
  try {
    const { response, stream } = open(t)
    mock.timers.tick(HEARTBEAT_INTERVAL_MS - 1)
    assert.equal(response.written, '')
    mock.timers.tick(1)
    stream.write({ type: 'x' })
    mock.timers.tick(HEARTBEAT_INTERVAL_MS)
    assert.equal(response.written, '\n{"type":"x"}\n\n')
    stream.end()
    stream.end()
    mock.timers.tick(HEARTBEAT_INTERVAL_MS * 3)
    stream.write({ type: 'late' })
    assert.equal(response.written, '\n{"type":"x"}\n\n<end>')
  } finally {
    mock.timers.reset()
  }
})

test('onGone is called once if the reader disconnects, and not after the end', (t) => {
  const lost = open(t)
  lost.response.emit('error', new Error('reset'))
  lost.response.emit('close')
  lost.response.emit('close')
  assert.equal(lost.gone(), 1)
  const ended = open(t)
  ended.stream.end()
  ended.response.emit('close')
  assert.equal(ended.gone(), 0)
})

test('write returns false when too many bytes are buffered for the reader', (t) => {
  const { response, stream } = open(t)
  response.writableLength = EVENTS_BACKLOG_MAX_BYTES
  assert.equal(stream.write({}), true)
  response.writableLength += 1
  assert.equal(stream.write({}), false)
  stream.end()
})
