import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { shipped } from '../../actors/homePaths.ts'
import { listFiles } from '../../actors/pluginRunner/pluginFiles.ts'
import {
  findPlugin,
  isPluginName,
  legacyPlugins,
  listPlugins,
  type PluginFolders,
  pluginFolders,
} from '../../actors/pluginRunner/pluginFolder.ts'
import { removePlugin } from '../../actors/pluginRunner/pluginPull.ts'

let root: string
let folders: PluginFolders
before(() => {
  root = mkdtempSync(join(tmpdir(), 'p2prc-plugins-'))
})
beforeEach(() => {
  rmSync(root, { recursive: true })
  folders = { own: join(root, 'own'), shipped: join(root, 'shipped') }
  for (const folder of [root, folders.own, folders.shipped]) mkdirSync(folder)
})
after(() => rmSync(root, { recursive: true }))

const whole = { 'site.yml': '- hosts: all\n', 'description.txt': 'Says hello\n', 'ports.json': '{"NumOfPorts": 2}' }

function make(name: string, files: Record<string, string> = {}, origin: keyof PluginFolders = 'own'): string {
  const folder = join(folders[origin], name)
  mkdirSync(folder, { recursive: true })
  for (const [file, content] of Object.entries({ ...whole, ...files })) writeFileSync(join(folder, file), content)
  return folder
}

test('a plugin is listed with its description; the owner’s hides a shipped one of the same name', () => {
  make('hello')
  make('hello', { 'description.txt': 'shipped' }, 'shipped')
  make('other', { 'ports.json': '{"NumOfPorts": 0}' }, 'shipped')
  assert.deepEqual(
    listPlugins(folders).map(({ name, description, ports, origin, bad }) => [name, description, ports, origin, bad]),
    [
      ['hello', 'Says hello', 2, 'own', ''],
      ['other', 'Says hello', 0, 'shipped', ''],
    ],
  )
  assert.deepEqual(legacyPlugins(listPlugins(folders)), {
    PluginsDetected: [
      { FolderName: 'hello', PluginDescription: 'Says hello', Execute: null, NumOfPorts: 2 },
      { FolderName: 'other', PluginDescription: 'Says hello', Execute: null, NumOfPorts: 0 },
    ],
  })
  assert.deepEqual(legacyPlugins([]), { PluginsDetected: null })
})

test('ports.json gives a number and nothing else: a plugin cannot rename itself', () => {
  make('hello', { 'ports.json': '{"NumOfPorts": 1, "FolderName": "../other", "Execute": "x"}' })
  assert.deepEqual(
    listPlugins(folders).map(({ name, ports }) => [name, ports]),
    [['hello', 1]],
  )
})

test('bad plugins are listed with their reason and hide no other', () => {
  make('good')
  for (const [name, content] of [
    ['not-json', '{'],
    ['null', 'null'],
    ['text', '{"NumOfPorts": "1"}'],
    ['negative', '{"NumOfPorts": -1}'],
    ['huge', '{"NumOfPorts": 1e9}'],
  ] as const)
    make(name, { 'ports.json': content })
  mkdirSync(join(folders.own, 'empty'))
  const linked = make('linked-file')
  rmSync(join(linked, 'description.txt'))
  symlinkSync('/etc/passwd', join(linked, 'description.txt'))
  symlinkSync('/etc', join(folders.own, 'linked-folder'))
  symlinkSync('/nowhere', join(folders.own, 'dangling'))
  make('\u001b[31mred')
  make('-rf')
  make('.hidden')
  make('large', { 'site.yml': 'x'.repeat(1024 * 1024 + 1) })
  writeFileSync(join(folders.own, 'a-file'), '')
  const reasons = Object.fromEntries(listPlugins(folders).map(({ name, bad }) => [name, bad]))
  assert.deepEqual(Object.keys(reasons).sort(), [
    '-rf',
    '?[31mred',
    'dangling',
    'empty',
    'good',
    'huge',
    'large',
    'linked-file',
    'linked-folder',
    'negative',
    'not-json',
    'null',
    'text',
  ])
  assert.equal(reasons.good, '')
  assert.match(reasons['not-json'] ?? '', /ports.json is not JSON/)
  for (const name of ['null', 'text', 'negative', 'huge']) assert.match(reasons[name] ?? '', /needs "NumOfPorts"/, name)
  assert.match(reasons.empty ?? '', /no description.txt/)
  assert.match(reasons['linked-file'] ?? '', /not a plain file/)
  assert.match(reasons['linked-folder'] ?? '', /leads out/)
  assert.match(reasons.dangling ?? '', /leads nowhere/)
  assert.match(reasons['-rf'] ?? '', /name has other characters/)
  assert.match(reasons.large ?? '', /site.yml is larger/)
  assert.throws(() => findPlugin(folders, 'empty'), { code: 'plugin_bad' })
})

const hostileNames = [
  '',
  '.',
  '..',
  '../own',
  'a/b',
  'a\\b',
  '/etc',
  '-x',
  '.x',
  'a\0b',
  'a b',
  'a\nb',
  'x'.repeat(4_096),
  'ä',
  '%2e%2e',
  'C:x',
  '\u2024\u2024',
  '~',
  '$(touch x)',
  '"; touch x; "',
]

test('a name has letters, digits, dot, dash and underscore; no other name reaches the disk', async () => {
  for (const name of ['a', 'A_b-c.1', 'x'.repeat(63)]) assert.ok(isPluginName(name), name)
  for (const name of hostileNames) {
    assert.throws(() => findPlugin(folders, name), { code: 'bad_name' }, name)
    await assert.rejects(removePlugin(folders.own, name), { code: 'bad_name' }, name)
  }
  assert.throws(() => findPlugin(folders, 'unknown'), { code: 'not_found' })
})

test('a link out of a plugin is found at any depth; a link inside it is allowed', () => {
  const folder = make('hello')
  mkdirSync(join(folder, 'roles/deep'), { recursive: true })
  writeFileSync(join(folder, 'roles/deep/main.yml'), '')
  symlinkSync('main.yml', join(folder, 'roles/deep/again.yml'))
  assert.deepEqual(listFiles(folder), [
    'description.txt',
    'ports.json',
    'roles/deep/again.yml',
    'roles/deep/main.yml',
    'site.yml',
  ])
  symlinkSync('../../../../', join(folder, 'roles/deep/up'))
  assert.throws(() => listFiles(folder), /"roles\/deep\/up" leads out/)
  rmSync(join(folder, 'roles/deep/up'))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  assert.throws(() => listFiles(folder), /"pipe" is not a file/)
})

test('removing a link does not remove its target', async () => {
  const folder = make('hello')
  const target = make('target', {}, 'shipped')
  symlinkSync(target, join(folders.own, 'link'))
  await removePlugin(folders.own, 'link')
  assert.equal(listFiles(target).length, 3)
  await removePlugin(folders.own, 'hello')
  assert.throws(() => listFiles(folder))
  await assert.rejects(removePlugin(folders.own, 'hello'), { code: 'not_found' })
})

test('the shipped plugins are valid', () => {
  const plugins = listPlugins({ own: folders.own, shipped: shipped.plugins })
  assert.deepEqual(
    plugins.map(({ name, bad }) => [name, bad]),
    [
      ['notebook', ''],
      ['render', ''],
      ['vscode', ''],
    ],
  )
})

test('the folders are those of the home, even if an old configuration names another', () => {
  assert.deepEqual(pluginFolders({ P2PRC: root }), { own: join(root, 'plugin/deploy'), shipped: shipped.plugins })
  writeFileSync(join(root, 'config.json'), JSON.stringify({ PluginPath: '/elsewhere' }))
  assert.equal(pluginFolders({ P2PRC: root }).own, '/elsewhere')
  writeFileSync(join(root, 'config.json'), '{')
  assert.equal(pluginFolders({ P2PRC: root }).own, join(root, 'plugin/deploy'))
})
