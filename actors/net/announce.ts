import type { Bus } from '../../protocol/bus.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Dial } from '../speedTester/speedLink.ts'
import type { PeerClient } from './peerClient.ts'

/** Tells the table of every peer that has proved its key. */
export function announcing(peers: PeerClient, bus: Bus<BusEvent>): PeerClient {
  return {
    async request(to, command, options) {
      const answered = await peers.request(to, command, options)
      const { id, name, key } = answered
      bus.publish({ type: 'contact.made', id, name, key, host: to.host, port: to.port })
      return answered
    },
  }
}

/** The same for connections that carry something else than commands. */
export function announcingDial(dial: Dial, bus: Bus<BusEvent>): Dial {
  return async (to, signal) => {
    const dialled = await dial(to, signal)
    const { id, name, key } = dialled.peer
    bus.publish({ type: 'contact.made', id, name, key, host: to.host, port: to.port })
    return dialled
  }
}
