import { randomUUID } from 'node:crypto'
import type { Bus } from '../../../protocol/bus.ts'
import type { NodeId } from '../../../protocol/ids.ts'
import type { BusEvent } from '../../../protocol/index.ts'
import { parsePublicKey } from '../../identity/sshPublicKey.ts'
import { request } from '../../request.ts'

/** Returns the OpenSSH line of a node's key; undefined for a node that is unknown. */
export type KeyOf = (id: NodeId, signal: AbortSignal) => Promise<string | undefined>

/** Asks the IP table. Nothing is taken on trust: the id is the fingerprint of the key. */
export function createKeyOf(bus: Bus<BusEvent>): KeyOf {
  return async (id, signal) => {
    const command = { type: 'peer.resolve', requestId: randomUUID(), caller: 'owner', where: id } as const
    try {
      const fact = await request(bus, command, { signal })
      const key = fact.type === 'peer.resolved' ? fact.key : undefined
      return key && parsePublicKey(key).fingerprint === id ? key : undefined
    } catch {
      return undefined
    }
  }
}
