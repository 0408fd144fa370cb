/** What this program uses of hyperdht 6 and blind-relay 1, which ship no types. */
declare module 'hyperdht' {
  import type { EventEmitter } from 'node:events'

  export interface DhtAddress {
    host: string
    port: number
  }

  export interface KeyPair {
    publicKey: Buffer
    secretKey: Buffer
  }

  /** One reliable stream over UDP. */
  export interface RawStream extends EventEmitter {
    readonly remoteHost: string | null
    readonly remotePort: number
    /** Bytes of payload that arrived, also while the stream is relayed to another one. */
    readonly bytesReceived: number
    readonly id: number
    readonly socket: object | null
    connect(socket: object, remoteId: number, port: number, host: string): void
    write(chunk: Uint8Array): boolean
    destroy(error?: Error): void
  }

  /** A streamx Duplex, encrypted by Noise. */
  export interface SecretStream extends EventEmitter {
    /** Null until there is a path. */
    readonly rawStream: RawStream | null
    readonly remotePublicKey: Buffer
    readonly publicKey: Buffer
    readonly destroyed: boolean
    write(chunk: Uint8Array): boolean
    end(): void
    pause(): void
    resume(): void
    destroy(error?: Error): void
  }

  /** Whether to punch, by what is known of both routers. The addresses are null while none is known. */
  export type Holepunch = (
    remoteFirewall: number,
    localFirewall: number,
    remoteAddresses: DhtAddress[] | null,
    localAddresses: DhtAddress[] | null,
  ) => boolean

  export interface ServerOptions {
    /** Returns true to refuse. Nothing is answered then. */
    firewall?: (remotePublicKey: Buffer, payload: unknown, address: DhtAddress) => boolean | Promise<boolean>
    /** The key of the blind relay over which streams start. */
    relayThrough?: Buffer
    /** Whether the peer is told the addresses of this machine in its LAN; true by default. */
    shareLocalAddress?: boolean
    holepunch?: Holepunch | false
  }

  export interface Server extends EventEmitter {
    listen(keyPair: KeyPair): Promise<Server>
    /** Announces again soon. */
    refresh(): void
    close(): Promise<void>
  }

  export interface DhtRequest {
    readonly command: number
  }

  export interface Query extends AsyncIterable<unknown> {
    destroy(): void
  }

  export interface DhtOptions {
    bootstrap: readonly DhtAddress[]
    /** A range, so that 0 means any port; 0 by itself means hyperdht's default. */
    port: number | readonly [number, number]
    host: string
    anyPort?: boolean
    ephemeral?: boolean
    firewalled?: boolean
    maxSize?: number
    /** The key pair of streams to the blind relay, and of those that name none. */
    keyPair?: KeyPair
  }

  class HyperDHT extends EventEmitter {
    constructor(options: DhtOptions)
    static keyPair(seed: Buffer): KeyPair
    /** Which nodes may be in the table and may be queried. Only set after construction is it not hyperdht's own. */
    _filterNode: (node: DhtAddress) => boolean
    /** What the other nodes said of this one's address. */
    _nat: { add(host: string, port: number): void }
    fullyBootstrapped(): Promise<void>
    toArray(options?: { limit: number }): DhtAddress[]
    createServer(options: ServerOptions, onConnection: (stream: SecretStream) => void): Server
    connect(
      publicKey: Buffer,
      options: { keyPair: KeyPair; holepunch?: Holepunch; relayAddresses?: DhtAddress[] },
    ): SecretStream
    createRawStream(options: object): RawStream
    findPeer(publicKey: Buffer): Query
    /** Answers a request of another node; false for one that is unknown here. */
    onrequest(request: DhtRequest): boolean
    destroy(options?: { force: boolean }): Promise<void>
  }

  export default HyperDHT
}

declare module 'blind-relay' {
  import type { EventEmitter } from 'node:events'
  import type { RawStream, SecretStream } from 'hyperdht'

  export interface PairMessage {
    isInitiator: boolean
    token: Buffer
    id: number
    seq: number
  }

  export interface RelaySession extends EventEmitter {
    /** The handler of the request to be paired. */
    readonly _pair: { onmessage: (message: PairMessage, session: unknown) => unknown }
    /** The relayed streams by their token, which the session destroys when it closes. */
    _links: Map<string, unknown>
    destroy(error?: Error): void
  }

  class RelayServer extends EventEmitter {
    constructor(options: { createStream: (options: object) => RawStream })
    accept(stream: SecretStream, options: { id: Buffer }): RelaySession
    close(): Promise<void>
  }

  class RelayClient extends EventEmitter {
    static from(stream: SecretStream, options: { id: Buffer }): RelayClient
    /** Emits `data` with the id of the relay's stream, or `error`. */
    pair(isInitiator: boolean, token: Buffer, stream: RawStream): EventEmitter
  }

  const blindRelay: { Server: typeof RelayServer; Client: typeof RelayClient; token(): Buffer }
  export default blindRelay
}
