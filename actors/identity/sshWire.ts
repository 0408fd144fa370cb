export type Wire = ReturnType<typeof wireReader>

/** Reads SSH's wire encoding (RFC 4251 5), in which each string follows its length in 4 bytes, big-endian. */
export function wireReader(data: Buffer) {
  let at = 0
  function take(length: number): Buffer {
    if (at + length > data.length) throw new Error('it is cut short')
    at += length
    return data.subarray(at - length, at)
  }
  const number = () => take(4).readUInt32BE()
  const bytes = () => take(number())
  return { number, bytes, text: () => bytes().toString(), left: () => data.length - at }
}

/** Encodes a string with its length. */
export function text(value: string | Buffer): Buffer {
  const content = typeof value === 'string' ? Buffer.from(value) : value
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([length, content])
}
