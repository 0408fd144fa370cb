import { takeTokens } from '../../../machines/gossip/tokenBucket.ts'

/** Returns a function that grants `perSecond` calls in a second, and as many at once. */
export function takeToken(perSecond: number, now = () => performance.now()): () => boolean {
  let bucket = { left: 1, at: now() }
  return () => {
    const [granted, rest] = takeTokens(bucket, now(), 1, perSecond)
    bucket = rest
    return granted === 1
  }
}
