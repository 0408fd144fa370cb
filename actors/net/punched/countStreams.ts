import type { SecretStream } from 'hyperdht'
import type { NodeId } from '../../../protocol/ids.ts'

/** Counts the streams that peers have opened to this node until they close. */
export function countStreams({ streamsPerPeer, streams }: { streamsPerPeer: number; streams: number }) {
  const open = new Map<SecretStream, NodeId>()
  const hasRoom = (id: NodeId) =>
    open.size < streams && [...open.values()].filter((each) => each === id).length < streamsPerPeer
  return {
    hasRoom,
    /** Counts a stream, or destroys it where it is one too many. Returns whether it was counted. */
    add(id: NodeId, stream: SecretStream): boolean {
      if (!hasRoom(id)) {
        stream.destroy()
        return false
      }
      open.set(stream, id)
      stream.once('close', () => open.delete(stream))
      return true
    },
    destroyAll(): void {
      for (const stream of open.keys()) stream.destroy()
    },
  }
}
