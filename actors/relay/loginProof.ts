import { createHash, timingSafeEqual } from 'node:crypto'
import { LOGIN_CLOCK_SKEW_MS, LOGINS_REMEMBERED_MAX } from '../../protocol/defaults/relay.ts'
import { privilegeKey } from '../../protocol/wire/frp/cipher.ts'
import type { FrpMessage } from '../../protocol/wire/frp/message.ts'

export type LoginBody = Extract<FrpMessage, { kind: 'Login' }>['body']

/** The token that a client has proved to know, empty for none, or why its login is refused. */
export type Proof = { token: string } | { refusal: string }

/** In the words of stock frp, for which its clients look. */
const WRONG_TOKEN = "token in login doesn't match token from configuration"

/**
 * Returns a function that reads the proof of a login. frp's proof is a digest of the token and a time, and nothing of the
 * server's, so that whoever has captured a login could send it again: each counts once, and only while its time is near.
 */
export function createProofCheck(token: string, now: () => number = Date.now): (body: LoginBody) => Proof {
  const seen = new Map<string, number>()

  function isNew(body: LoginBody): boolean {
    for (const [digest, until] of seen) {
      if (until > now()) break
      seen.delete(digest)
    }
    const digest = createHash('sha256').update(JSON.stringify(body)).digest('base64')
    if (seen.has(digest) || seen.size >= LOGINS_REMEMBERED_MAX) return false
    seen.set(digest, now() + 2 * LOGIN_CLOCK_SKEW_MS)
    return true
  }

  return (body) => {
    if (proves(body, '')) return { token: '' }
    if (token === '' || !proves(body, token)) return { refusal: WRONG_TOKEN }
    if (Math.abs(body.timestamp * 1_000 - now()) > LOGIN_CLOCK_SKEW_MS)
      return { refusal: 'the time of the login is too far from the clock of the relay' }
    return isNew(body) ? { token } : { refusal: 'this login was used before' }
  }
}

function proves({ privilege_key, timestamp }: LoginBody, token: string): boolean {
  const [given, expected] = [Buffer.from(privilege_key), Buffer.from(privilegeKey(token, timestamp))]
  return given.length === expected.length && timingSafeEqual(given, expected)
}
