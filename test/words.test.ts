import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '..')

/**
 * Words that this project once used in a sense of its own, where the field has a standard term. None of them may occur
 * in the name of a file, type, function, constant, event, wire kind or column. Ordinary words that have another, usual
 * sense in code (such as `offer`, `turn`, `front`, `hold`) are not in the list, nor are the terms that were kept.
 */
const homemade = [
  // The whole system.
  ...['door', 'doors', 'visitor', 'visitors', 'admit', 'admitted', 'stranger', 'strangers', 'guest', 'guests'],
  ...['wish', 'wishes', 'slug', 'slugs', 'says', 'hears', 'errand', 'errands', 'salvage', 'salvaged'],
  ...[
    'household',
    'households',
    'neighbourhood',
    'neighbourhoods',
    'crowd',
    'crowded',
    'doorstep',
    'gossiper',
    'weather',
  ],
  // Gossip.
  ...['doubt', 'doubts', 'doubted', 'grave', 'graves', 'bury', 'buried', 'departed', 'risen'],
  ...['deny', 'denial', 'denials', 'vouch', 'vouched', 'unvouched', 'hollow', 'strike', 'strikes', 'meetings'],
  ...['lonely', 'mediator', 'mediators', 'weary', 'reworded', 'garbled', 'allowance'],
  // The IP table and speed.
  ...['candidates', 'witness', 'witnesses', 'walk', 'walks', 'walked', 'hurry', 'deaf', 'pour'],
  // Containers, groups, plugins and the terminal.
  ...[
    'born',
    'undoing',
    'lingering',
    'basing',
    'askers',
    'unasked',
    'sweep',
    'sweeping',
    'blame',
    'blamed',
    'judged',
    'verdict',
  ],
]

/** The same for names of several words. */
const homemadeNames = [
  ...[
    'askOwn',
    'setAside',
    'takeBack',
    'standIn',
    'wayIn',
    'waysIn',
    'lookAt',
    'tendLinks',
    'smallMap',
    'selfPlaces',
    'askName',
  ],
  ...[
    'pourBytes',
    'isPaid',
    'imageShelf',
    'doorOf',
    'presentStates',
    'opensWith',
    'portBook',
    'commandFrame',
    'nearWord',
  ],
]

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

/** Names that a source file declares, and the event types and wire kinds that it spells. */
function namesIn(text: string): string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\/|(?<![:'"`])\/\/.*/g, '')
  const patterns = [
    /\b(?:function\*?|class|interface|type|enum|const|let|namespace|def)\s+([A-Za-z_$][\w$]*)/g,
    /^\s*(?:readonly\s+)?([a-z_$][\w$]*)\??:/gim,
    /'([a-z][A-Za-z]*(?:[./][a-z][A-Za-z]*)+)'/g,
    /'([A-Z][A-Z ]{1,20})'/g,
  ]
  return patterns.flatMap((pattern) => [...code.matchAll(pattern)].map(([, name]) => name as string))
}

/** Names of types that were homemade as a whole, though their words have a usual sense too (as in fault injection). */
const homemadeTypes = ['Fault', 'toFault', 'Shards', 'Made', 'Found', 'Plan', 'Prepared']

function homemadeIn(name: string): string | undefined {
  if (homemadeTypes.includes(name)) return name
  const flat = wordsOf(name).join('')
  return (
    wordsOf(name).find((word) => homemade.includes(word)) ??
    homemadeNames.find((one) => flat.includes(one.toLowerCase()))
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

test('the check sees each form of a name', () => {
  const text =
    "function lookAtDoor() {}\nconst GUEST_PORTS = 1\ntype Wish = { slug: string }\nemit({ type: 'record.doubted' })"
  const found = namesIn(text).map(homemadeIn)
  assert.deepEqual(found.filter(Boolean), ['door', 'guest', 'wish', 'doubted'])
  assert.equal(homemadeIn('actors/doors/visitor.ts'), 'doors')
  assert.equal(homemadeIn('setAsideFile'), 'setAside')
  assert.equal(homemadeIn('discovery'), undefined)
})
