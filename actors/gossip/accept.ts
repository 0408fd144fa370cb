import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type WebSocket, WebSocketServer } from 'ws'
import { REJECTED_GRACE_MS } from '../../protocol/defaults/listeners.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import { canonicalHost, formatAddress } from '../../protocol/net/address.ts'
import { WIRE_MAX_BYTES } from '../../protocol/wire/gossip.ts'
import type { Upgrade } from '../listeners/principal.ts'

/** A link that another node dialled, after it proved its key. */
export interface AcceptedLink {
  socket: WebSocket
  id: NodeId
  /** The remote address, `host:port`. */
  address: string
}

export interface LinkSource {
  /** Sets the one listener and returns a function that removes it. Without a listener, new links are closed. */
  listen(listener: (link: AcceptedLink) => void): () => void
}

export interface GossipListener extends LinkSource {
  /** Accepts upgrade requests of authenticated nodes and refuses all others. It never throws. */
  upgrade: Upgrade
}

/** Creates the listener to which the HTTP server hands the upgrade requests of other nodes. */
export function openGossipListener(): GossipListener {
  const server = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: WIRE_MAX_BYTES })
  let current: ((link: AcceptedLink) => void) | undefined
  return {
    listen(listener) {
      current = listener
      return () => {
        if (current === listener) current = undefined
      }
    },
    upgrade(request, socket, head, { caller }) {
      socket.on('error', () => {})
      // Browsers send an origin, and a page must not gossip in the name of the owner of a client certificate.
      if (request.url !== GOSSIP_PATH || !current) return refuse(socket, 404, 'Not Found')
      if (caller === 'anonymous' || caller === 'owner' || request.headers.origin !== undefined)
        return refuse(socket, 403, 'Forbidden')
      const { remoteAddress = '', remotePort = 0 } = socket as Socket
      const address =
        remoteAddress === '' ? '' : formatAddress({ host: canonicalHost(remoteAddress), port: remotePort })
      server.handleUpgrade(request, socket, head, (opened) => {
        if (current) current({ socket: opened, id: caller, address })
        else opened.terminate()
      })
    },
  }
}

/** Responds, and closes the connection although the client may keep its own side open. */
function refuse(socket: Duplex, status: number, reason: string): void {
  const timer = setTimeout(() => socket.destroy(), REJECTED_GRACE_MS)
  socket.once('close', () => clearTimeout(timer))
  socket.end(`HTTP/1.1 ${status} ${reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`)
}
