import { once } from 'node:events'
import blindRelay from 'blind-relay'
import HyperDht, { type KeyPair, type RawStream, type SecretStream } from 'hyperdht'

/** A client of a relay's DHT on loopback, which is paired as hyperdht pairs where no direct path comes up. */
export interface BlindClient {
  /** Opens a stream to the blind relay. Rejects where it is refused. */
  open(relayKey: Buffer): Promise<SecretStream>
  /** Asks for a pair, and resolves with the stream that is relayed to the other client's with the same token. */
  pair(stream: SecretStream, token: Buffer, isInitiator: boolean): Promise<RawStream>
  close(): Promise<void>
}

export async function blindClient(keyPair: KeyPair, port: number): Promise<BlindClient> {
  const host = '127.0.0.1'
  const dht = new HyperDht({ bootstrap: [{ host, port }], port: [0, 0], host, ephemeral: true, keyPair })
  dht.on('error', () => {})
  await dht.fullyBootstrapped()
  return {
    async open(relayKey) {
      const stream = dht.connect(relayKey, { keyPair })
      stream.on('close', () => {})
      await once(stream, 'open')
      stream.on('error', () => {})
      return stream
    },
    async pair(stream, token, isInitiator) {
      const raw = dht.createRawStream({})
      raw.on('error', () => {})
      const request = blindRelay.Client.from(stream, { id: stream.publicKey }).pair(isInitiator, token, raw)
      const [remoteId] = (await once(request, 'data')) as [number]
      const { socket, remotePort, remoteHost } = stream.rawStream as RawStream
      raw.connect(socket as object, remoteId, remotePort, remoteHost as string)
      return raw
    },
    close: () => dht.destroy({ force: true }),
  }
}
