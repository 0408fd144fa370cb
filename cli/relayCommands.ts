import type { LentPortView } from '../protocol/relay.ts'
import type { Call, Handler } from './runCommand.ts'
import { ageText, bytesText } from './tables.ts'
import { type Terminal, table } from './terminal.ts'

/** The handlers of the commands for the ports that this node lends. */
export const relayCommands = {
  async 'relay ls'(call) {
    const { policy, ports } = await call.request({ type: 'relay.list' })
    const names = await namesOf(call, ports)
    const listed = ports.map((port) => ({ ...port, peer: names.get(port.client) ?? '' }))
    call.terminal.value({ policy, ports: listed }, () => portsTable(policy, listed, call.terminal.style))
  },

  async 'relay close'(call) {
    const [which = ''] = call.args
    const { ports: all } = await call.request({ type: 'relay.list' })
    const named = [...(await namesOf(call, all))].filter(([, name]) => name === which)
    const [id = which] = named.length === 1 ? (named[0] as [string, string]) : []
    const { ports } = await call.request({ type: 'relay.close', which: id })
    const closed = ports.map(({ protocol, port }) => `${port}/${protocol}`).join(', ')
    call.terminal.done({ ports }, closed === '' ? `Closed ${which}` : `Closed ${closed}`, call.legacy)
  },
} satisfies Record<string, Handler>

/** The names of the clients by their node id: those of the owner, or else their own. */
async function namesOf(call: Call, ports: readonly LentPortView[]): Promise<Map<string, string>> {
  const clients = new Set<string>(ports.map(({ client }) => client).filter((client) => client !== 'anonymous'))
  if (clients.size === 0) return new Map()
  const { listPeers } = await import('../client/peers.ts')
  const { peers } = await listPeers(await call.client(), { signal: call.signal })
  const { peers: trusted } = await call.request({ type: 'trust.list' })
  const all = [...peers, ...trusted].flatMap(({ id, name }) =>
    id && name && clients.has(id) ? [[id, name] as const] : [],
  )
  return new Map(all)
}

export function portsTable(
  policy: string,
  ports: readonly (LentPortView & { peer: string })[],
  style: Terminal['style'],
  now = Date.now(),
): string {
  if (policy === 'off') return 'This node lends no ports. Start it with --relay peers to do so.'
  if (ports.length === 0) return 'No port is lent.'
  return table(
    ['PORT', 'NAME', 'DOMAIN', 'PEER', 'FROM', 'AGE', 'USERS', 'BYTES'],
    ports.map(({ port, protocol, name, domains, peer, client, from, since, connections, bytes }) => [
      `${port}${protocol === 'udp' ? '/udp' : ''}`,
      name,
      domains.join(' '),
      peer || client,
      from,
      ageText(now - since),
      String(connections),
      bytesText(bytes),
    ]),
    style,
  )
}
