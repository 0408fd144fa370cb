import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { matches } from '../../actors/bridge.ts'

const root = resolve(import.meta.dirname, '../..')

const file = join(import.meta.dirname, 'stateTables.txt')

/**
 * `stateTables.txt` is the table of every machine: the target of each event in each state. No cell is empty: an event
 * that a state does not handle is listed after `ignores`. Targets are in the order of their guards; `here` means
 * actions without a target. `UPDATE_STATE_TABLES=1` rewrites the tables, to be reviewed in the diff.
 */
const expected = new Map(
  readFileSync(file, 'utf8')
    .trim()
    .split(/\n\n(?=\S)/)
    .map((table) => [table.split('\n')[0] as string, table]),
)

async function machines(): Promise<[string, AnyStateMachine][]> {
  const found: [string, AnyStateMachine][] = []
  const names = readdirSync(join(root, 'machines'), { recursive: true, encoding: 'utf8' }).sort()
  for (const module of names.filter((name) => name.endsWith('.ts'))) {
    const exported: Record<string, unknown> = await import(join(root, 'machines', module))
    for (const [name, value] of Object.entries(exported))
      if (name.endsWith('Machine')) found.push([name, value as AnyStateMachine])
  }
  return found
}

function leaves(node: AnyStateNode): AnyStateNode[] {
  const children = Object.values(node.states)
  return children.length === 0 ? [node] : children.flatMap(leaves)
}

const pathOf = (node: AnyStateNode) => node.path.join('.') || '(root)'

/** Returns the targets of `event` in a state, from the state itself or else its nearest ancestor that handles it. */
function cell(leaf: AnyStateNode, event: string): string {
  for (let node: AnyStateNode | undefined = leaf; node; node = node.parent) {
    const handled = [...node.transitions.entries()].filter(([descriptor]) => matches(descriptor, event))
    const best = handled.sort(([one], [other]) => other.length - one.length)[0]
    if (!best) continue
    const targets = best[1].map(({ target, actions }) =>
      target ? target.map(pathOf).join('+') : actions.length > 0 ? 'here' : 'nothing',
    )
    return [...new Set(targets)].join(' or ')
  }
  return 'ignores'
}

/** Returns the transitions of a state without an event: an invoked actor ends, a delay passes, or a condition holds. */
function ownSteps(leaf: AnyStateNode): string[] {
  const steps: string[] = []
  for (let node: AnyStateNode | undefined = leaf; node; node = node.parent) {
    for (const [descriptor, transitions] of node.transitions) {
      const [, kind] = /^xstate\.(done|error|after)\b/.exec(descriptor) ?? []
      if (!kind) continue
      const what = kind === 'after' ? `after ${descriptor.split('.')[2]}` : kind
      steps.push(`${what} > ${transitions.map(({ target }) => target?.map(pathOf).join('+') ?? 'here').join(' or ')}`)
    }
  }
  const always = (leaf.always ?? []).map(({ target }) => target?.map(pathOf).join('+') ?? 'here')
  return [...(always.length > 0 ? [`always > ${always.join(' or ')}`] : []), ...steps]
}

/** Wraps text at 110 characters, so that a person can compare it. */
function wrapped(text: string): string {
  return text.replace(/(.{1,100})(?: |$)/g, '\n      $1').replace(/^\n {6}/, '    ')
}

function tableOf(name: string, machine: AnyStateMachine): string {
  const events = (machine.events as string[]).filter((event) => !event.startsWith('xstate.')).sort()
  const states = leaves(machine.root).map((leaf) => {
    const byCell = new Map<string, string[]>()
    for (const event of events) byCell.set(cell(leaf, event), [...(byCell.get(cell(leaf, event)) ?? []), event])
    const ignored = byCell.get('ignores') ?? []
    byCell.delete('ignores')
    return [
      `  ${pathOf(leaf)}${leaf.type === 'final' ? ' (final)' : ''}`,
      ...ownSteps(leaf).map((step) => `    ${step}`),
      ...[...byCell].map(([target, list]) => wrapped(`${list.join(', ')} > ${target}`)),
      ...(ignored.length > 0 ? [wrapped(`ignores ${ignored.join(', ')}`)] : []),
    ].join('\n')
  })
  return [name, ...states].join('\n')
}

test('every machine has a table of states and events without an open cell', async () => {
  const all = await machines()
  if (process.env.UPDATE_STATE_TABLES)
    return writeFileSync(file, `${all.map(([name, machine]) => tableOf(name, machine)).join('\n\n')}\n`)
  for (const [name, machine] of all) assert.equal(tableOf(name, machine), expected.get(name), name)
  assert.deepEqual([...expected.keys()].sort(), all.map(([name]) => name).sort())
})
