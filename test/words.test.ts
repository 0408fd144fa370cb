import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '..')

/**
 * Words that this project once used in a sense of its own, where the field has a standard term. None of them may occur
 * in any name: of a file, type, function, variable, parameter, key, event or wire kind. Not in the list are the terms
 * that were kept, and ordinary words that have a usual sense in code too, where only a reader can tell one sense from
 * the other: offer, turn, front, hold, answer, ends, once, linked, gone, author, words, hint, entries, wanted, cut,
 * draw, ban, visit, candidate, release, fill, settle, stage, system, lender.
 */
const homemade = words(`
  door doors visitor visitors admit admitted stranger strangers guest guests
  wish wishes making slug slugs hear hears heard hearer hearers says asker askers unasked errand errands salvage salvaged lifetime
  household households neighbourhood neighbourhoods crowd crowded doorstep gossiper weather
  doubt doubts doubted grave graves bury buried dig departed risen deny denial denials vouch vouched unvouched
  hollow declined strike strikes meeting meetings met lonely mediator mediators weary lasting
  reworded learn learned want wants garbled carry wires stamps allowance
  candidates gather placed witness witnesses walk walks walked hurry deaf looking keeping standing miss pour
  born undoing lingering clearing life lives talk basing holding sweep sweeping
  blame blamed judged verdict broke foreground
`)

/** The same for names of several words, which may be part of a longer name. */
const homemadeNames = words(`
  askOwn sendCommand setAside takeBack standIn wayIn waysIn lookAt tendLinks smallMap selfPlaces askName
  pourBytes isPaid imageShelf doorOf presentStates opensWith portBook commandFrame nearWord
`)

/** Whole names, whose words have a usual sense in other names, as in fault injection, `lookUp` or `putArchive`. */
const homemadeWhole = words(`
  Fault toFault Shards Made Found Plan Prepared Seen
  ask asks tell tells told say said put look looks place places health
`)

/** Headings of columns that have a standard one now. */
const homemadeColumns = words('PROOF SAYS TO FOR ON')

function words(text: string): readonly string[] {
  return text.trim().split(/\s+/)
}

const sources = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => /\.(ts|mjs|py)$/.test(file) && file !== 'test/words.test.ts')
  .filter((file) => {
    try {
      return readFileSync(join(root, file)).length > 0
    } catch {
      return false // Deleted in the work tree.
    }
  })

/** `camelCase`, `CONSTANT_CASE`, `noun.verb` and `kind/kind` as lower-case words. */
function wordsOf(name: string): string[] {
  return name
    .replace(/([a-z0-9])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
}

/** Comments, regular expressions and texts, which are not names. Of a template, the expressions in it are kept. */
const comment = /\/\*[\s\S]*?\*\/|(?<![:'"`\\])\/\/[^\n]*/g
const text = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"/g
const expression = /(?<=[(,=:[!&|?{};]\s*)\/(?![*/])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/g
const template = /`(?:[^`\\]|\\.)*`/g

/** All names in a source file, and the event types and wire kinds that it spells. */
function namesIn(source: string): string[] {
  const code = source.replace(comment, '')
  const spelled = [...code.matchAll(/'([a-z][A-Za-z]*(?:[./][a-z][A-Za-z]*)+)'/g)].map(([, name]) => name as string)
  const names = code
    .replace(expression, '')
    .replace(text, "''")
    .replace(template, (whole) => (whole.match(/\$\{[^}]*\}/g) ?? []).join(' '))
    .match(/[A-Za-z_$][\w$]*/g)
  return [...spelled, ...(names ?? [])]
}

/** The headings in the tables of the command line. */
function columnsIn(source: string): string[] {
  return [...source.matchAll(/'([A-Z][A-Z ]*)'/g)].map(([, heading]) => heading as string)
}

function homemadeIn(name: string): string | undefined {
  if (homemadeWhole.includes(name)) return name
  const parts = wordsOf(name)
  return (
    parts.find((word) => homemade.includes(word)) ??
    homemadeNames.find((one) => ` ${parts.join(' ')} `.includes(` ${wordsOf(one).join(' ')} `))
  )
}

test('no name uses a word that the field does not use so', () => {
  const found = sources.flatMap((file) => {
    const names = [file, ...new Set(namesIn(readFileSync(join(root, file), 'utf8')))]
    return names.flatMap((name) => {
      const word = homemadeIn(name)
      return word ? [`${file}: ${name} (${word})`] : []
    })
  })
  assert.deepEqual(found, [])
})

test('no column has a homemade heading', () => {
  const headings = sources
    .filter((file) => file.startsWith('cli/') && file !== 'cli/actorCommands.ts')
    .flatMap((file) => columnsIn(readFileSync(join(root, file), 'utf8')))
  assert.ok(headings.includes('LAST SEEN'))
  assert.deepEqual(
    headings.filter((heading) => homemadeColumns.includes(heading)),
    [],
  )
})

test('the check sees each form of a name', () => {
  const source = `
    function lookAtDoor({ risen, key: [hollow] }, talk = 1) { /* grave */ } // weary
    const GUEST_PORTS = 'a crowd'
    type Wish = { slug: string }
    emit({ type: 'record.doubted', text: \`a stranger \${errand}\` })
    table.look(places.match(/lonely \\/[/] verdict/))`
  const found = new Set(namesIn(source).map(homemadeIn).filter(Boolean))
  const expected = 'doubted door risen hollow talk guest wish slug errand look places'
  assert.deepEqual([...found].sort(), expected.split(' ').sort())
  assert.deepEqual(['actors/doors/visitor.ts', 'setAsideFile', 'discovery', 'lookUp'].map(homemadeIn), [
    'doors',
    'setAside',
    undefined,
    undefined,
  ])
  assert.deepEqual(columnsIn("['ID', 'SAYS', 'Name']"), ['ID', 'SAYS'])
})
