import type { z } from 'zod'
import { JSON_MAX_DEPTH } from './defaults/listeners.ts'
import { AppError } from './errors.ts'

/** Any value that JSON can represent. */
export type Json = z.core.util.JSONType

/**
 * Parses JSON from outside. Throws `bad_request` if the text is not JSON, is nested deeper than `JSON_MAX_DEPTH`, or
 * has a key `__proto__`. The depth is checked before the text is parsed, because a document that can be parsed may
 * still overflow the stack of the code that traverses it.
 */
export function readJson(text: string): unknown {
  if (depthOf(text) > JSON_MAX_DEPTH) {
    throw new AppError('bad_request', { why: `The JSON is nested deeper than ${JSON_MAX_DEPTH}` })
  }
  try {
    // Escapes can hide the name, so every text with an escape or with the name itself is checked key by key.
    return /__proto__|\\u/.test(text) ? JSON.parse(text, refusePrototype) : JSON.parse(text)
  } catch (error) {
    if (error instanceof AppError) throw error
    throw new AppError('bad_request', { why: 'That is not JSON' }, error)
  }
}

function refusePrototype(key: string, value: unknown): unknown {
  if (key === '__proto__') throw new AppError('bad_request', { why: 'The key __proto__ is not allowed' })
  return value
}

/** Returns the maximum depth of nested brackets outside strings. */
function depthOf(text: string): number {
  let depth = 0
  let deepest = 0
  let quoted = false
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charCodeAt(at)
    if (quoted) {
      if (character === 0x5c) at += 1
      else if (character === 0x22) quoted = false
    } else if (character === 0x22) quoted = true
    else if (character === 0x7b || character === 0x5b) {
      depth += 1
      if (depth > deepest) deepest = depth
    } else if (character === 0x7d || character === 0x5d) depth -= 1
  }
  return deepest
}
