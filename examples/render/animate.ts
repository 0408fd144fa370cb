import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from './crc32.ts'

// node --import tsx examples/render/animate.ts FOLDER [animation.png] [FRAMES PER SECOND]

const signature = Buffer.from('89504e470d0a1a0a', 'hex')

/**
 * Joins PNG frames of one size and kind into one animated PNG (APNG 1.0), which browsers play: the first frame's image
 * data stays what it is, the others' is wrapped with a sequence number. Nothing is decoded.
 */
export function animate(frames: readonly Buffer[], framesPerSecond: number): Buffer {
  const [first, ...others] = frames.map(chunksOf)
  if (!first) throw new Error('there are no frames')
  const header = first.find(({ type }) => type === 'IHDR')?.data
  if (!header) throw new Error('the first frame has no header')
  let sequence = 0
  const control = () => {
    const data = Buffer.alloc(26)
    data.writeUInt32BE(sequence, 0)
    header.copy(data, 4, 0, 8)
    data.writeUInt16BE(1, 20)
    data.writeUInt16BE(framesPerSecond, 22)
    sequence += 1
    return chunk('fcTL', data)
  }
  const parts = [signature, chunk('IHDR', header), chunk('acTL', uint32s(frames.length, 0))]
  for (const { type, data } of first) if (/^(PLTE|gAMA|sRGB|cHRM)$/.test(type)) parts.push(chunk(type, data))
  parts.push(control(), ...imageOf(first).map((data) => chunk('IDAT', data)))
  for (const [number, frame] of others.entries()) {
    if (!frame.find(({ type }) => type === 'IHDR')?.data.equals(header))
      throw new Error(`frame ${number + 2} has another size or kind than the first`)
    parts.push(control())
    for (const data of imageOf(frame)) {
      parts.push(chunk('fdAT', Buffer.concat([uint32s(sequence), data])))
      sequence += 1
    }
  }
  return Buffer.concat([...parts, chunk('IEND', Buffer.alloc(0))])
}

interface Chunk {
  type: string
  data: Buffer
}

function chunksOf(png: Buffer): Chunk[] {
  if (!png.subarray(0, 8).equals(signature)) throw new Error('that is not a PNG image')
  const chunks: Chunk[] = []
  for (let at = 8; at + 12 <= png.length; ) {
    const length = png.readUInt32BE(at)
    chunks.push({ type: png.toString('latin1', at + 4, at + 8), data: png.subarray(at + 8, at + 8 + length) })
    at += 12 + length
  }
  return chunks
}

function imageOf(chunks: readonly Chunk[]): Buffer[] {
  return chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data)
}

function chunk(type: string, data: Buffer): Buffer {
  const named = Buffer.concat([Buffer.from(type, 'latin1'), data])
  return Buffer.concat([uint32s(data.length), named, uint32s(crc32(named))])
}

function uint32s(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

if (process.argv[1] === import.meta.filename) {
  const [folder = '.', target = 'animation.png', rate = '15'] = process.argv.slice(2)
  try {
    const names = readdirSync(folder).filter((name) => /^frame-\d+\.png$/.test(name))
    if (names.length === 0) throw new Error(`there is no frame-….png in ${folder}`)
    if (!(Number(rate) >= 1 && Number(rate) <= 65_535)) throw new Error(`${rate} is no number of frames per second`)
    const frames = names.sort().map((name) => readFileSync(join(folder, name)))
    writeFileSync(target, animate(frames, Number(rate)))
    console.log(`${target}: ${frames.length} frames`)
  } catch (error) {
    console.error(`animate: ${(error as Error).message}`)
    process.exitCode = 1
  }
}
