import { type IncomingMessage, request } from 'node:http'
import { connectionError } from '../../client/connectionError.ts'
import { mbps } from '../../machines/speedMeter.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import { AppError } from '../../protocol/errors.ts'
import type { PeerAt } from '../../protocol/ipTable.ts'
import { formatAddress } from '../../protocol/net/address.ts'
import { countFlow, sendRandom } from './countFlow.ts'
import type { FlowOptions } from './speedLink.ts'

/** How long a Go node may take to confirm an upload after its last byte. */
const CONFIRM_MS = 5_000

const BOUNDARY = 'p2prc-speed-test'
const HEAD = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="50"\r\nContent-Type: application/octet-stream\r\n\r\n`

/**
 * One direction of a test with a Go node, in Mbit/s: its `/50` read, or bytes sent to its `/upload`, which P2PRC does
 * with GET. Rejects with `not_served` where it has no such route or file, else as `measureFlow`.
 */
export function measureLegacyFlow(to: PeerAt, { direction, onReport, signal }: FlowOptions): Promise<number> {
  const where = formatAddress(to)
  return new Promise((resolve, reject) => {
    const isDown = direction === 'download'
    const path = isDown ? '/50' : '/upload'
    const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, 'transfer-encoding': 'chunked' }
    const clientRequest = request({ ...to, path, agent: false, ...(!isDown && { headers }) })
    const settle = (error: unknown, rate?: number) => {
      clearTimeout(limit)
      signal.removeEventListener('abort', abandon)
      clientRequest.destroy()
      if (rate === undefined) reject(error)
      else resolve(rate)
    }
    const abandon = () => settle(new AppError('abandoned'))
    const limitMs = SPEED.mostMs + CONFIRM_MS
    const limit = setTimeout(() => settle(new AppError('timed_out', { where, ms: limitMs })), limitMs)
    signal.addEventListener('abort', abandon)
    clientRequest.on('error', (error) => settle(connectionError(error, where)))

    let startedAt = performance.now()
    let sent = 0
    clientRequest.on('response', (response: IncomingMessage) => {
      response.on('error', () => {})
      if (response.statusCode !== 200) {
        return settle(new AppError('not_served', { where, what: path, status: response.statusCode ?? 0 }))
      }
      if (!isDown) return settle(undefined, mbps(sent, performance.now() - startedAt))
      void countFlow(response, (counted) => onReport(counted.mbps)).then(({ bytes, mbps }) =>
        bytes === 0 ? settle(new AppError('connection_lost', { where })) : settle(undefined, mbps),
      )
    })
    if (isDown) return void clientRequest.end()
    clientRequest.on('socket', (socket) =>
      socket.on('connect', () => {
        startedAt = performance.now()
        clientRequest.write(HEAD)
        const isOver = ({ bytes, ms }: { bytes: number; ms: number }) => {
          sent = bytes
          return ms >= SPEED.legacySendMs || bytes >= SPEED.mostBytes
        }
        void sendRandom(clientRequest, isOver).then(() => clientRequest.end(`\r\n--${BOUNDARY}--\r\n`))
      }),
    )
  })
}
