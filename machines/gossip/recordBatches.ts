import { AGE_MAX_SECONDS, BATCH, type WireMessage } from '../../protocol/wire/gossip.ts'
import type { SignedRecord } from '../../protocol/wire/record.ts'
import { ageToSend } from './recordAge.ts'
import type { Tx } from './tx.ts'

/** Largest text of one batch of records. It is far below `WIRE_MAX_BYTES`, so that a batch does not delay a probe behind it. */
const BATCH_CHARS = 48 * 1024

/** Returns the messages that carry these records, which were forwarded `hops` times. */
export function inBatches(tx: Tx, records: readonly SignedRecord[], hops: number): WireMessage[] {
  const batches: SignedRecord[][] = []
  let chars = 0
  for (const signed of records) {
    const batch = batches.at(-1)
    if (!batch || batch.length >= BATCH.records || chars + signed.text.length > BATCH_CHARS) {
      batches.push([signed])
      chars = 0
    } else batch.push(signed)
    chars += signed.text.length
  }
  return batches.map((batch) => {
    const ages = batch.map(({ short }) => Math.min(Math.round(ageToSend(tx, short) / 1_000), AGE_MAX_SECONDS))
    const pairs = batch.map(({ text, signature }): [string, string] => [text, signature])
    return { kind: 'table/records', body: { records: pairs, hops, ...(ages.some((age) => age > 0) && { ages }) } }
  })
}
