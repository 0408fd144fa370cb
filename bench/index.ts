import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bench, type Figure, machine, table } from './measure.ts'

/**
 * `npm run bench [name…] [--write]` runs the named benches, or all of them, and prints their figures. `--write` also
 * writes them into docs/benchmarks.md, between the markers of each bench, with the machine and the date.
 */
const benches: Record<string, () => Promise<{ bench: Bench }>> = {
  startUp: () => import('./startUp.ts'),
  http: () => import('./http.ts'),
  memory: () => import('./memory.ts'),
  create: () => import('./create.ts'),
  speed: () => import('./speed.ts'),
  gossip: () => import('./gossip.ts'),
  links: () => import('./links.ts'),
  relay: () => import('./relay.ts'),
  idle: () => import('./idle.ts'),
  registry: () => import('./registry.ts'),
  ansible: () => import('./ansible.ts'),
  pluginList: () => import('./pluginList.ts'),
}

const document = join(import.meta.dirname, '..', 'docs', 'benchmarks.md')
const write = process.argv.includes('--write')
const named = process.argv.slice(2).filter((argument) => !argument.startsWith('--'))

for (const name of named.length > 0 ? named : Object.keys(benches)) {
  const load = benches[name]
  if (!load) throw new Error(`unknown bench "${name}"; known benches: ${Object.keys(benches).join(', ')}`)
  console.log(`\n${name}`)
  const figures = await (await load()).bench()
  console.log(table(figures))
  if (write) writeFigures(name, figures)
}

function writeFigures(name: string, figures: Figure[]): void {
  const text = readFileSync(document, 'utf8')
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [from, to] = [text.indexOf(begin), text.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/benchmarks.md has no markers for ${name}`)
  const day = new Date().toISOString().slice(0, 10)
  const body = `${begin}\n\n${day}, ${machine()}.\n\n${table(figures)}\n\n`
  writeFileSync(document, text.slice(0, from) + body + text.slice(to))
}
