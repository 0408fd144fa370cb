// The frames of yamux, version 0, by hashicorp's specification
// (https://github.com/hashicorp/yamux/blob/master/spec.md): version, type, flags, stream id and length, in network order.
// The payload follows a DATA frame only.

export const YAMUX_HEADER_BYTES = 12

export const yamuxType = { data: 0, windowUpdate: 1, ping: 2, goAway: 3 } as const

export const yamuxFlag = { syn: 1, ack: 2, fin: 4, rst: 8 } as const

/** Why a session ends, in the length of a GO_AWAY frame. */
export const yamuxGoAway = { normal: 0, protocolError: 1, internalError: 2 } as const

export interface YamuxHeader {
  /** One of `yamuxType`. */
  type: number
  /** A sum of `yamuxFlag`. */
  flags: number
  /** 0 for the session; odd where the client opened the stream, even where the server did. */
  streamId: number
  /** Bytes of the payload, bytes of credit, the id of a ping, or why the session ends: it depends on the type. */
  length: number
}

export function encodeYamux({ type, flags, streamId, length }: YamuxHeader): Uint8Array {
  const frame = new Uint8Array(YAMUX_HEADER_BYTES)
  const view = new DataView(frame.buffer)
  view.setUint8(1, type)
  view.setUint16(2, flags)
  view.setUint32(4, streamId)
  view.setUint32(8, length)
  return frame
}

/** Reads the header at `offset`, where `YAMUX_HEADER_BYTES` must be available. Another version or type is an error. */
export function readYamux(bytes: Uint8Array, offset = 0): YamuxHeader | 'protocolError' {
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, YAMUX_HEADER_BYTES)
  const type = view.getUint8(1)
  if (view.getUint8(0) !== 0 || type > yamuxType.goAway) return 'protocolError'
  return { type, flags: view.getUint16(2), streamId: view.getUint32(4), length: view.getUint32(8) }
}
