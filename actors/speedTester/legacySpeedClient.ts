import { type IncomingMessage, request } from 'node:http'
import { agentOver } from '../../client/agentOver.ts'
import { connectionError } from '../../client/connectionError.ts'
import { mbps } from '../../machines/speedMeter.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import { AppError } from '../../protocol/errors.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { Dialer, DialTarget } from '../net/dialer.ts'
import { countFlow, sendRandom } from './countFlow.ts'
import type { FlowOptions } from './speedLink.ts'

/** How long a Go node may take to confirm an upload after its last byte, in milliseconds. */
const CONFIRM_MS = 5_000

const BOUNDARY = 'p2prc-speed-test'
const HEAD = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="50"\r\nContent-Type: application/octet-stream\r\n\r\n`

/**
 * Measures one direction of a link to a Go node, in Mbit/s: reads its `/50`, or sends bytes to its `/upload`, which
 * P2PRC does with GET. Rejects with `not_served` if the node has no such route or file, and otherwise as
 * `measureFlow` does.
 */
export async function measureLegacyFlow(dialer: Dialer, to: DialTarget, options: FlowOptions): Promise<number> {
  const { direction, onReport, signal } = options
  const { stream, endpoint } = await dialer.dial(to, { purpose: 'speed', goNode: 'expected', signal })
  const where = formatEndpoint(endpoint)
  return new Promise((resolve, reject) => {
    const isDown = direction === 'download'
    const path = isDown ? '/50' : '/upload'
    const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}`, 'transfer-encoding': 'chunked' }
    const clientRequest = request({
      agent: agentOver(stream),
      path,
      headers: { host: where, ...(!isDown && headers) },
    })
    const settle = (error: unknown, rate?: number) => {
      clearTimeout(limit)
      signal.removeEventListener('abort', abandon)
      clientRequest.destroy()
      stream.destroy()
      if (rate === undefined) reject(error)
      else resolve(rate)
    }
    const abandon = () => settle(new AppError('abandoned'))
    const limitMs = SPEED.maxMs + CONFIRM_MS
    const limit = setTimeout(() => settle(new AppError('timed_out', { where, ms: limitMs })), limitMs)
    signal.addEventListener('abort', abandon)
    clientRequest.on('error', (error) => settle(connectionError(error, where)))

    const startedAt = performance.now()
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
    clientRequest.write(HEAD)
    const isOver = ({ bytes, ms }: { bytes: number; ms: number }) => {
      sent = bytes
      return ms >= SPEED.legacySendMs || bytes >= SPEED.maxBytes
    }
    void sendRandom(clientRequest, isOver).then(() => clientRequest.end(`\r\n--${BOUNDARY}--\r\n`))
  })
}
