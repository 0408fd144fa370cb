import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { after, before, test } from 'node:test'

/** What the documents say of the repository, compared with the repository. `docs/cli.md` has its test in `test/cli/`. */
const root = resolve(import.meta.dirname, '..')
const built = mkdtempSync(join(tmpdir(), 'p2prc-docs-'))
const documents = [
  'README.md',
  'examples/render/README.md',
  ...readdirSync(join(root, 'docs')).map((name) => join('docs', name)),
]
const files = execFileSync('git', ['ls-files', '-co', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n')
  .filter((file) => file !== '' && existsSync(join(root, file)))

before(() => {
  execFileSync(process.execPath, ['--import', 'tsx', 'scripts/build.ts', join(built, 'dist')], { cwd: root })
})
after(() => rmSync(built, { recursive: true, force: true }))

/** Paths in backticks and at the beginning of the lines of a folder tree. `NAME` stands for any name. */
function pathsIn(text: string): string[] {
  const quoted = [...text.matchAll(/`([\w.-]+(?:\/[\w.-]+)*(?:\/|\.(?:ts|mjs|js|py|json|md|txt|yml)))`/g)]
  const listed = [...text.matchAll(/^ *((?:[\w-]+\/)+)(?: {2,}\S|$)/gm)]
  return [...quoted, ...listed].map(([, path]) => path as string).filter((path) => !/\bNAME\b/.test(path))
}

/** Whether a path is one of the repository or of the build, or the end of one: `wire/record.ts` in a paragraph on `protocol/`. */
function exists(path: string): boolean {
  if (path.startsWith('dist/')) return existsSync(join(built, path))
  const isIt = (file: string) =>
    path.endsWith('/') ? `/${file}`.includes(`/${path}`) : `/${file}`.endsWith(`/${path}`)
  return files.some(isIt)
}

for (const document of documents) {
  const text = readFileSync(join(root, document), 'utf8')

  test(`${document} names only files that exist, and its links lead somewhere`, () => {
    assert.deepEqual(
      pathsIn(text).filter((path) => !exists(path)),
      [],
    )
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, link]) => link as string)
    assert.deepEqual(
      links.filter((link) => !existsSync(join(root, dirname(document), link))),
      [],
    )
  })

  test(`${document} states the sizes of the built files, give or take 2 KiB`, () => {
    for (const [, path, stated] of text.matchAll(/`(dist\/[\w./]+)` \((\d+) KiB\)/g)) {
      const size = statSync(join(built, path as string)).size / 1_024
      assert.ok(Math.abs(size - Number(stated)) <= 2, `${path} has ${size.toFixed(0)} KiB, not ${stated}`)
    }
  })
}

test('the check finds paths in backticks and in trees', () => {
  const text = 'See `wire/none.ts`, `protocol/net/`, `plugin/NAME/`, `p2prc ls` and `a.b`.\n\nnowhere/    a folder\n'
  assert.deepEqual(pathsIn(text), ['wire/none.ts', 'protocol/net/', 'nowhere/'])
  assert.deepEqual(pathsIn(text).map(exists), [false, true, false])
})
