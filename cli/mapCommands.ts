import { AppError } from '../protocol/errors.ts'
import { formatAddress } from '../protocol/net/address.ts'
import type { Mapping } from '../protocol/turnClient.ts'
import { wholeNumber } from './commandLine.ts'
import type { Handler } from './runCommand.ts'
import { ageText } from './tables.ts'
import { type Terminal, table } from './terminal.ts'

const PORT_MAX = 65_535

/** The handlers of the commands that show ports of this machine to the outside. */
export const mapCommands = {
  async map({ args: [port = ''], option, has, request, terminal, legacy }) {
    const via = option('via')
    const domain = option('domain')
    if (domain !== undefined && has('udp'))
      throw new AppError('bad_request', { why: '--domain is for TCP and not --udp' })
    const { mapping } = await request({
      type: 'port.map',
      port: wholeNumber('PORT', port, 1, PORT_MAX),
      protocol: has('udp') ? 'udp' : 'tcp',
      ...(via !== undefined && { via }),
      ...(domain !== undefined && { domain }),
      ...elsewhere(option('on')),
    })
    // Scripts written for Go P2PRC read these keys.
    terminal.value(legacy ? goMapping(mapping) : mapping, () => `${portText(mapping)} is at ${whereText(mapping)}`)
  },

  async 'map ls'({ option, request, terminal }) {
    const { mappings } = await request({ type: 'port.list', ...elsewhere(option('on')) })
    terminal.value(mappings, () => mappingsText(mappings, terminal.style))
  },

  async 'map rm'({ args: [which = ''], option, request, terminal, legacy }) {
    const { mapping } = await request({ type: 'port.unmap', which, ...elsewhere(option('on')) })
    terminal.done(mapping, `${portText(mapping)} is shown no more`, legacy)
  },
} satisfies Record<string, Handler>

function elsewhere(on: string | undefined): { on?: string } {
  return on === undefined ? {} : { on }
}

export function goMapping({ address }: Mapping): { IPAddress: string; PortNo: string; EntireAddress: string } {
  return {
    IPAddress: address?.host ?? '',
    PortNo: address ? String(address.port) : '',
    EntireAddress: address ? formatAddress(address) : '',
  }
}

export function mappingsText(mappings: readonly Mapping[], style: Terminal['style'], now = Date.now()): string {
  if (mappings.length === 0) return 'Nothing is mapped. Show a port of this machine with `p2prc map PORT`.'
  const rows = mappings.map((one) => [
    portText(one),
    addressText(one),
    one.via ?? one.relay ?? '',
    one.url ?? one.domain ?? '',
    one.state === 'open' ? ageText(now - one.since) : one.state,
    one.why?.message ?? '',
  ])
  return table(['PORT', 'ADDRESS', 'RELAY', 'DOMAIN', 'AGE', 'WHY NOT'], rows, style)
}

function portText({ port, protocol }: Mapping): string {
  return protocol === 'udp' ? `${port}/udp` : String(port)
}

/** Users of a domain find the relay by DNS, which only its owner can tell. */
function whereText(mapping: Mapping): string {
  const { url, domain, address } = mapping
  if (url === undefined) return addressText(mapping)
  return `${url}, as soon as DNS says that ${domain} is at ${address?.host ?? 'the relay'}`
}

function addressText({ address }: Mapping): string {
  return address ? formatAddress(address) : '-'
}
