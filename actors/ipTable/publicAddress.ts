import { get as getPlain } from 'node:http'
import { get as getSecure } from 'node:https'
import { z } from 'zod'
import { AppError, toAppError } from '../../protocol/errors.ts'
import { readJson } from '../../protocol/json.ts'
import { isIPv4, isIPv6 } from '../../protocol/net/address.ts'

/** The JSON format of ip-api.com, which Go P2PRC reads too: `query` is the address of the client. */
const answer = z.object({ query: z.string().refine((text) => isIPv4(text) || isIPv6(text)) })

const TIMEOUT_MS = 5_000
const MAX_BYTES = 64 * 1024

/**
 * Asks an external service for this machine's public address. Used only if the owner configures it, because peers
 * report observed addresses to each other. Rejects with `bad_request` if `url` is not an http(s) URL, and with
 * `address_unknown`.
 */
export async function fetchPublicAddress(url: string): Promise<string> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new AppError('bad_request', {
      why: `"${url.slice(0, 128)}" is not an http:// or https:// address of a service`,
    })
  const { host: service, protocol } = new URL(url)
  try {
    return answer.parse(readJson(await read(protocol === 'https:' ? getSecure : getPlain, url))).query
  } catch (error) {
    const why = error instanceof z.ZodError ? 'it does not answer as ip-api.com does' : toAppError(error).message
    throw new AppError('address_unknown', { service, why }, error)
  }
}

function read(get: typeof getPlain, url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { signal: AbortSignal.timeout(TIMEOUT_MS) }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        if (text.length > MAX_BYTES) response.destroy(new Error('it says too much'))
      })
      response.on('error', reject)
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`it answered ${response.statusCode}`)),
      )
    })
    request.on('error', (error) => reject(error.name === 'AbortError' ? new Error('it does not answer') : error))
  })
}
