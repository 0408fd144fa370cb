import { fromPromise } from 'xstate'
import { type ReadKey, trustMachine } from '../machines/trust.ts'
import type { TrustFile } from '../protocol/files/trust.ts'
import type { NodeId } from '../protocol/ids.ts'
import { parsePublicKey } from './identity/sshPublicKey.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export { trustFile } from '../protocol/files/trust.ts'

/** Creates the trust concern, which keeps its list in a file. */
export function createTrust({ store }: { store: Store<TrustFile> }): ConcernParts<typeof trustMachine> {
  const readKey = fromPromise<ReadKey, { key: string }>(async ({ input }) => {
    const { key, comment, fingerprint } = parsePublicKey(input.key)
    return { id: fingerprint as NodeId, key, comment: comment.slice(0, 128), at: new Date().toISOString() }
  })
  const save = fromPromise<void, { peers: TrustFile['peers'] }>(({ input }) =>
    store.write({ ...store.data, peers: input.peers }),
  )
  return {
    name: 'trust',
    logic: trustMachine.provide({ actors: { readKey, save } }),
    input: () => ({ peers: store.data.peers }),
  }
}

/** Returns the list of a node without `trust.json`, which trusts nobody. */
export function emptyTrust(): TrustFile {
  return { version: 1, peers: [] }
}
