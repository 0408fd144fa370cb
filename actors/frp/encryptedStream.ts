import { Duplex } from 'node:stream'
import { createFrpDecrypter, createFrpEncrypter } from '../../protocol/wire/frp/cipher.ts'

/** Encrypts a work connection, as frp does where a proxy asks for it. Half-close is kept. It owns the stream. */
export function encryptedStream(stream: Duplex, key: Uint8Array): Duplex {
  const encrypt = createFrpEncrypter(key)
  const decrypt = createFrpDecrypter(key)
  const clear = new Duplex({
    allowHalfOpen: true,
    read: () => stream.resume(),
    write: (chunk, _encoding, callback) => {
      if (stream.write(encrypt(chunk))) callback()
      else stream.once('drain', callback)
    },
    final: (callback) => stream.end(callback),
    destroy: (error, callback) => {
      stream.destroy()
      callback(error)
    },
  })
  stream.on('data', (chunk) => {
    if (!clear.push(decrypt(chunk))) stream.pause()
  })
  stream.on('end', () => clear.push(null))
  stream.on('error', (error) => clear.destroy(error))
  stream.on('close', () => {
    if (!stream.readableEnded) clear.destroy()
  })
  return clear
}
