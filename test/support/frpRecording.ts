import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createFrpDecrypter, frpKey } from '../../protocol/wire/frp/cipher.ts'
import { type FrpMessage, readFrp } from '../../protocol/wire/frp/message.ts'
import { readYamux, YAMUX_HEADER_BYTES, yamuxType } from '../../protocol/wire/frp/yamux.ts'

interface Vectors {
  keys: Record<string, string>
  privilegeKeys: { token: string; ts: number; key: string }[]
  frames: Record<string, string>
  cfb: { token: string; iv: string; plain: string; wire: string }[]
  /** What stock frp of that version sent in each direction while one HTTP request went through it. */
  sessions: Record<string, { 'C>S': string; 'S>C': string }>
}

const path = resolve(import.meta.dirname, '../fixtures/frpVectors.json')
export const vectors: Vectors = JSON.parse(readFileSync(path, 'utf8'))
/** The payload of each stream in one direction of a recorded session. */
export function streamsOf(raw: Uint8Array): Map<number, Buffer> {
  const streams = new Map<number, Buffer>()
  for (let at = 0; at + YAMUX_HEADER_BYTES <= raw.length; ) {
    const header = readYamux(raw, at)
    assert.notEqual(header, 'protocolError', `at ${at}`)
    if (header === 'protocolError') break
    at += YAMUX_HEADER_BYTES
    if (!streams.has(header.streamId)) streams.set(header.streamId, Buffer.alloc(0))
    if (header.type !== yamuxType.data) continue
    const payload = raw.subarray(at, at + header.length)
    streams.set(header.streamId, Buffer.concat([streams.get(header.streamId) as Buffer, payload]))
    at += header.length
  }
  return streams
}

/** The messages at the beginning of bytes, and the text behind them. */
export function messagesIn(bytes: Uint8Array): { kinds: string[]; messages: FrpMessage[]; rest: string } {
  const kinds: string[] = []
  const messages: FrpMessage[] = []
  let left = bytes
  for (;;) {
    const read = readFrp(left)
    if (typeof read === 'string')
      return { kinds, messages, rest: left.length === 0 ? '' : Buffer.from(left).toString() }
    kinds.push(read.message.kind)
    messages.push(read.message)
    left = left.subarray(read.size)
  }
}

/** The messages of one direction of a control stream with an empty token: the first is clear, the others are encrypted. */
export function controlMessages(bytes: Uint8Array): FrpMessage[] {
  const first = readFrp(bytes)
  if (typeof first === 'string') return []
  const clear = createFrpDecrypter(frpKey(''))(bytes.subarray(first.size))
  return [first.message, ...messagesIn(clear).messages]
}
