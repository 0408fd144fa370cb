import type { AnswerOf } from '../client/types.ts'
import { splitFailure } from '../protocol/errors.ts'
import type { BetterRung } from '../protocol/ipTable.ts'
import { formatEndpoint } from '../protocol/net/endpoint.ts'
import type { Handler } from './runCommand.ts'
import { ageText } from './tables.ts'
import { list, type Terminal } from './terminal.ts'

/** The handler of the command that shows how this node reaches a peer. */
export const pathCommand = {
  async path({ args: [where = ''], request, terminal }) {
    const { type: _, requestId: __, ...shown } = await request({ type: 'peer.showPath', where })
    terminal.value(shown, () => pathText(shown, terminal.style))
  },
} satisfies Record<string, Handler>

type Shown = Omit<AnswerOf<'peer.showPath'>, 'type' | 'requestId'>

export function pathText(
  { name, id, path, linked, better }: Shown,
  style: Terminal['style'],
  now = Date.now(),
): string {
  const pairs: [string, string][] = [
    ['Machine', [name, id].filter(Boolean).join(' ')],
    [
      'In use',
      path ? `${path.rung} at ${formatEndpoint(path.endpoint)} for ${ageText(now - path.since)}` : none(linked),
    ],
    ...better.map((rung): [string, string] => [rung.rung, whyNot(rung, now)]),
  ]
  return list(pairs, style)
}

function none(linked: boolean): string {
  return linked ? 'the link that it has opened to this machine' : 'nothing; no dial has reached it'
}

function whyNot({ state, endpoint, at = 0, why }: BetterRung, now: number): string {
  const reason = why ? splitFailure(why).what : ''
  const where = endpoint ? formatEndpoint(endpoint) : ''
  switch (state) {
    case 'notOffered':
      return 'not offered by the machine'
    case 'untried':
      return `offered at ${where}, not tried yet`
    case 'answered':
      return `it has answered at ${where} before; the one in use was faster the last time`
    case 'impossible':
      return `not possible here: ${reason}`
    case 'failed':
      return `tried at ${where} ${ageText(now - at)} ago: ${reason}`
  }
}
