import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deflateSync } from 'node:zlib'
import { animate } from '../../examples/render/animate.ts'
import { crc32 } from '../../examples/render/crc32.ts'

const part = (type: string, data: Buffer): Buffer => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(data.length)
  const check = Buffer.alloc(4)
  check.writeUInt32BE(crc32(Buffer.concat([Buffer.from(type), data])))
  return Buffer.concat([length, Buffer.from(type), data, check])
}

/** One grey pixel, as a PNG of `width`. */
function frame(width: number, grey: number): Buffer {
  const header = Buffer.from([0, 0, 0, width, 0, 0, 0, 1, 8, 0, 0, 0, 0])
  const image = deflateSync(Buffer.from([0, ...Array(width).fill(grey)]))
  return Buffer.concat([
    Buffer.from('89504e470d0a1a0a', 'hex'),
    part('IHDR', header),
    part('IDAT', image),
    part('IEND', Buffer.alloc(0)),
  ])
}

test('the check sum is the one of the PNG specification', () => {
  assert.equal(crc32(Buffer.from('IEND')), 0xae426082)
  assert.equal(crc32(Buffer.from('123456789')), 0xcbf43926)
})

test('frames become one animated PNG with a running number over controls and data', () => {
  const film = animate([frame(1, 0), frame(1, 128), frame(1, 255)], 12)
  const found: [type: string, sequence: number | string][] = []
  for (let at = 8; at < film.length; at += 12 + film.readUInt32BE(at)) {
    const type = film.toString('latin1', at + 4, at + 8)
    const end = at + 8 + film.readUInt32BE(at)
    assert.equal(film.readUInt32BE(end), crc32(film.subarray(at + 4, end)), type)
    found.push([type, /^f/.test(type) ? film.readUInt32BE(at + 8) : ''])
  }
  assert.deepEqual(found, [
    ['IHDR', ''],
    ['acTL', ''],
    ['fcTL', 0],
    ['IDAT', ''],
    ['fcTL', 1],
    ['fdAT', 2],
    ['fcTL', 3],
    ['fdAT', 4],
    ['IEND', ''],
  ])
})

test('frames of another size, and what is no PNG, are refused', () => {
  assert.throws(() => animate([frame(1, 0), frame(2, 0)], 12), /frame 2 has another size/)
  assert.throws(() => animate([Buffer.from('hello world')], 12), /not a PNG/)
  assert.throws(() => animate([], 12), /no frames/)
})
