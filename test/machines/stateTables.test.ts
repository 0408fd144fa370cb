import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { checkEvent } from '../../protocol/checks/development.ts'
import { commands, facts } from '../../protocol/index.ts'
import { playTable, type Samples } from '../support/playTable.ts'

const root = resolve(import.meta.dirname, '../..')

const file = join(import.meta.dirname, 'stateTables.txt')

/**
 * `stateTables.txt` has the table of every machine: what each event does in each situation, as xstate's pure
 * `transition` plays it with the samples in `samples/`. A cell says which state is next, which children stop and start,
 * what is emitted or told to another actor, and what changes in the context. No cell is open: `nothing` is an event that
 * is handled without effect, and those that a state does not handle stand after `–`. A variant of a state shows the
 * cells in which it differs. `UPDATE_STATE_TABLES=1` rewrites the tables, to be reviewed in the diff.
 */
const expected = new Map(
  readFileSync(file, 'utf8')
    .trim()
    .split(/\n\n(?=\S)/)
    .map((table) => [table.split('\n')[0] as string, table]),
)

/** Returns what the modules of a folder export, by name, where `isMeant` accepts the name. */
async function exportsOf<T>(folder: string, isMeant: (name: string) => boolean): Promise<Map<string, T>> {
  const found = new Map<string, T>()
  const modules = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).sort()
  for (const module of modules.filter((name) => name.endsWith('.ts')))
    for (const [name, value] of Object.entries<T>(await import(join(root, folder, module))))
      if (isMeant(name)) found.set(name, value)
  return found
}

const machines = await exportsOf('machines', (name) => name.endsWith('Machine'))
const samples = await exportsOf<Samples>('test/machines/samples', (name) => name.endsWith('Samples'))
const tables = [...machines.keys()].map((name) => {
  const own = samples.get(name.replace(/Machine$/, 'Samples'))
  assert.ok(own && own.machine === machines.get(name), `${name} has no samples`)
  return { name, own, ...playTable(name, own) }
})

test('every machine is played in each of its states with each of its events, through each of its guards', () => {
  for (const { name, missing } of tables) assert.deepEqual(missing, [], name)
})

test('every sample of the bus, and every fact that it leads to, fits its schema', () => {
  for (const { own, emitted } of tables) {
    for (const event of Object.values(own.events))
      if (commands.has(event.type) || facts.has(event.type)) checkEvent(event)
    if (!own.isPrivate) for (const fact of emitted) checkEvent(fact)
  }
})

test('every machine has a table of states and events without an open cell', () => {
  if (process.env.UPDATE_STATE_TABLES) return writeFileSync(file, `${tables.map(({ text }) => text).join('\n\n')}\n`)
  for (const { name, text } of tables) assert.equal(text, expected.get(name), name)
  assert.deepEqual(
    [...expected.keys()],
    tables.map(({ name }) => name),
  )
})
