/**
 * `p2prc/client`: asking a node from a program. `connect({ transport })` gives a client whose requests are typed by the
 * commands of `protocol/`; see `examples/borrow.mjs`.
 */
export { AppError, type ErrorCode } from '../protocol/errors.ts'
export { type Client, connect, type PendingRequest, type RequestOptions } from './client.ts'
export { type ControlSocketOptions, controlSocket } from './controlSocket.ts'
export type { HttpResponse } from './factReader.ts'
export { controlSocketPath } from './home.ts'
export { type Exchange, type HttpRequest, type HttpTransportOptions, httpTransport } from './httpTransport.ts'
export { type MutualTlsOptions, mutualTls } from './mutualTls.ts'
export { listPeers, type PeerList } from './peers.ts'
export type { ReceivedFact, SentCommand, Transport } from './transport.ts'
export type {
  AnswerOf,
  AnswerType,
  CommandInput,
  CommandType,
  FactOf,
  NodeEvent,
  Revealed,
  StateChanged,
  StreamDropped,
} from './types.ts'
