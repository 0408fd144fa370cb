import { type IncomingMessage, request } from 'node:http'
import type { Duplex } from 'node:stream'
import { agentOver } from '../../client/agentOver.ts'
import { connectionError, protocolError } from '../../client/connectionError.ts'
import { readFacts } from '../../client/factReader.ts'
import { responseOf } from '../../client/streamExchange.ts'
import { SPEED } from '../../protocol/defaults/speedTester.ts'
import { AppError } from '../../protocol/errors.ts'
import { formatEndpoint } from '../../protocol/net/endpoint.ts'
import type { Direction } from '../../protocol/speedTester.ts'
import { SPEED_PATH, type SpeedReport, speedReport } from '../../protocol/wire/speed.ts'
import type { Dialer, DialTarget } from '../net/dialer.ts'
import { type Counted, countFlow, sendRandom } from './countFlow.ts'

export interface FlowOptions {
  direction: Direction
  onReport: (mbps: number) => void
  signal: AbortSignal
}

/**
 * Measures one direction of a link to a node of this project, in Mbit/s as the receiver counted it. Rejects with the
 * peer's refusal, or with `unreachable`, `timed_out`, `protocol_error`, `wrong_node`, `connection_lost`, `abandoned`.
 */
export async function measureFlow(dialer: Dialer, to: DialTarget, options: FlowOptions): Promise<number> {
  const { stream, endpoint } = await dialer.dial(to, { purpose: 'speed', signal: options.signal })
  const where = formatEndpoint(endpoint)
  const hangUp = () => stream.destroy()
  options.signal.addEventListener('abort', hangUp, { once: true })
  // The test ends by itself; this limit is for a peer that stalls.
  const late = new AppError('timed_out', { where, ms: SPEED.maxMs + SPEED.slackMs })
  const limit = setTimeout(() => stream.destroy(late), SPEED.maxMs + SPEED.slackMs)
  try {
    const counted = await (options.direction === 'download' ? download : upload)(stream, where, options)
    if (counted.bytes === 0) throw new AppError('connection_lost', { where })
    return counted.mbps
  } catch (error) {
    if (options.signal.aborted) throw new AppError('abandoned', {}, error)
    throw connectionError(error as NodeJS.ErrnoException, where)
  } finally {
    clearTimeout(limit)
    options.signal.removeEventListener('abort', hangUp)
    // Data still in flight in this direction would disturb the next measurement.
    stream.destroy()
  }
}

function download(stream: Duplex, where: string, { onReport }: FlowOptions): Promise<Counted> {
  return new Promise((resolve, reject) => {
    const clientRequest = request({ agent: agentOver(stream), path: SPEED_PATH, headers: { host: where } })
    clientRequest.on('error', reject)
    clientRequest.on('response', (response) => {
      if (response.statusCode !== 200) rejectWithRefusal(response, where).catch(reject)
      else countFlow(response, ({ mbps }) => onReport(mbps)).then(resolve, reject)
    })
    clientRequest.end()
  })
}

function upload(stream: Duplex, where: string, { onReport }: FlowOptions): Promise<Counted> {
  return new Promise((resolve, reject) => {
    const headers = { host: where, 'content-type': 'application/octet-stream' }
    const clientRequest = request({ agent: agentOver(stream), method: 'POST', path: SPEED_PATH, headers })
    let last: SpeedReport | undefined
    clientRequest.on('error', reject)
    clientRequest.on('response', (response) => {
      if (response.statusCode !== 200) return void rejectWithRefusal(response, where).catch(reject)
      readReports(response).then(() => reject(new AppError('connection_lost', { where })), reject)
    })
    const readReports = async (response: IncomingMessage) => {
      for await (const fact of readFacts(responseOf(response), where)) {
        const report = speedReport.safeParse(fact)
        if (!report.success) throw protocolError(where, 'its count cannot be read')
        last = report.data
        if (last.done) resolve(last)
        else onReport(last.mbps)
      }
    }
    // No payload is sent to a peer that has not agreed: its status 200 arrives before the first byte is sent.
    clientRequest.flushHeaders()
    clientRequest.on('response', ({ statusCode }) => {
      if (statusCode === 200) void sendRandom(clientRequest, () => last?.done === true)
    })
  })
}

/** Rejects with the error that a refusal carries. */
async function rejectWithRefusal(response: IncomingMessage, where: string): Promise<never> {
  for await (const _ of readFacts(responseOf(response), where));
  throw protocolError(where, `it answers with status ${response.statusCode}`)
}
