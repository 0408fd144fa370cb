import type { ActorView } from '../protocol/node.ts'
import type { Call, Handler } from './runCommand.ts'
import { ageText } from './tables.ts'
import { list, type Terminal, table } from './terminal.ts'
import { assertNode, type View, watch } from './watch.ts'

/** The command of `cli.ts` that looks at the actors of the running node. */
export const actorCommands = {
  async actors(call) {
    const [filter = ''] = call.args
    if (call.has('watch')) return watch(call, () => view(call, filter))
    await assertNode()
    const { document, text } = await view(call, filter)
    call.terminal.value(document, () => text(call.terminal.style))
  },
} satisfies Record<string, Handler>

interface Listed {
  actors: readonly ActorView[]
  /** Actors for which the list had no room. */
  omitted: number
}

/** A table needs no contexts; a program gets them, and so does a person who names one actor. */
async function view({ request, terminal }: Call, filter: string): Promise<View> {
  const details = !terminal.onScreen || filter !== ''
  const { actors, omitted } = await request({ type: 'actor.list', filter, details })
  const listed = { actors, omitted }
  return { document: listed, text: (style) => actorsText(listed, filter, style) }
}

/** One actor with everything where `filter` is its path, else a table. */
export function actorsText(
  { actors, omitted }: Listed,
  filter: string,
  style: Terminal['style'],
  now = Date.now(),
): string {
  const [only] = actors
  if (!only) return filter === '' ? 'The node has no actors now.' : `No actor matches "${filter}".`
  if (only.path === filter) return actorText(only, style)
  const rows = actors.map(({ path, machine, state, transitions }) => {
    const last = transitions.at(-1)
    return [path, machine, state, last ? ageText(now - last.at) : '', last?.event ?? '']
  })
  const shown = table(['ACTOR', 'MACHINE', 'STATE', 'AGE', 'LAST EVENT'], rows, style)
  return omitted === 0 ? shown : `${shown}\nand ${omitted} more; see \`p2prc actors FILTER\``
}

function actorText({ path, concern, machine, state, transitions, context }: ActorView, style: Terminal['style']) {
  const pairs: [string, string][] = [
    ['Actor', path],
    ['Concern', concern],
    ['Machine', machine],
    ['State', state],
  ]
  const rows = transitions.map(({ at, from = '', to, event }) => [new Date(at).toISOString(), from, to, event])
  return [
    list(pairs, style),
    ...(rows.length === 0 ? [] : ['', table(['TIME', 'FROM', 'TO', 'EVENT'], rows, style)]),
    ...(context === undefined ? [] : ['', style('bold', 'CONTEXT'), JSON.stringify(context, null, 2)]),
  ].join('\n')
}
