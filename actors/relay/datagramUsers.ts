import { UDP_USERS_REMEMBERED } from '../../protocol/defaults/turnClient.ts'
import type { UdpAddress } from '../../protocol/wire/frp/message.ts'

/** The prefix of an IPv4 address on a socket of both families. Go's client returns the address without it. */
const MAPPED = '::ffff:'

/** Who has sent something to a lent UDP port. The latest users are remembered. */
export interface DatagramUsers {
  /** Remembers a user by the address at the socket. Returns the address for the client. */
  add(address: string, port: number): UdpAddress
  /**
   * Returns the address at the socket; undefined for one that is no user's. Without this, a client could send datagrams to
   * any address in the relay's name, its loopback included.
   */
  addressOf(user: UdpAddress): string | undefined
}

export function createDatagramUsers(): DatagramUsers {
  const addresses = new Map<string, string>()
  const remember = ({ IP, Port }: UdpAddress, address: string) => {
    const key = `${IP} ${Port}`
    addresses.delete(key)
    addresses.set(key, address)
    const [oldest] = addresses.keys()
    if (addresses.size > UDP_USERS_REMEMBERED && oldest !== undefined) addresses.delete(oldest)
  }
  return {
    add(address, port) {
      const user = { IP: address.replace(MAPPED, ''), Port: port, Zone: '' }
      remember(user, address)
      return user
    },
    addressOf({ IP, Port, Zone }) {
      const user = { IP: IP.replace(MAPPED, ''), Port, Zone }
      const address = addresses.get(`${user.IP} ${Port}`)
      if (address !== undefined) remember(user, address)
      return address
    },
  }
}
