import { get as getPlain } from 'node:http'
import { get as getSecure } from 'node:https'
import { z } from 'zod'
import { AppError, toAppError } from '../../protocol/errors.ts'
import { readJson } from '../../protocol/json.ts'
import { isIPv4, isIPv6 } from '../../protocol/net/address.ts'

/** ip-api.com's JSON form, which Go P2PRC reads too: the address that asked is in `query`. */
const answer = z.object({ query: z.string().refine((text) => isIPv4(text) || isIPv6(text)) })

const TIMEOUT_MS = 5_000
const MOST_BYTES = 64 * 1024

/**
 * This machine's public address as a service outside sees it. Only where the owner asks for it: peers tell each other what
 * they see. Rejects with `bad_request` for what is no http(s) URL, and with `address_unknown`.
 */
export async function fetchPublicAddress(url: string): Promise<string> {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw new AppError('bad_request', { why: `"${url.slice(0, 128)}" is no http:// or https:// address of a service` })
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
        if (text.length > MOST_BYTES) response.destroy(new Error('it says too much'))
      })
      response.on('error', reject)
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`it answered ${response.statusCode}`)),
      )
    })
    request.on('error', (error) => reject(error.name === 'AbortError' ? new Error('it does not answer') : error))
  })
}
