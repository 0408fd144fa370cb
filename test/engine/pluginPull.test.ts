import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { listPlugins } from '../../actors/pluginRunner/pluginFolder.ts'
import { type Pull, pullPlugin } from '../../actors/pluginRunner/pluginPull.ts'
import { parsePullUrl } from '../../actors/pluginRunner/pullUrl.ts'

let root: string
let own: string
let server: Server
let address: string
let redirect = ''
const caFile = () => join(root, 'ca.pem')
const canary = () => join(root, 'canary')

before(async () => {
  root = mkdtempSync(join(tmpdir(), 'p2prc-pull-'))
  mkdirSync(join(root, 'repositories'))
  const files = ['-keyout', join(root, 'key.pem'), '-out', caFile()]
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  execFileSync('openssl', ['req', '-x509', ...kind, ...files, ...names], { stdio: 'ignore' })
  const [key, cert] = [readFileSync(join(root, 'key.pem')), readFileSync(caFile())]
  server = createServer({ key, cert }, (request, response) => {
    if (redirect) response.writeHead(302, { location: redirect }).end()
    else serveGit(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  address = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
})
beforeEach(() => {
  redirect = ''
  own = mkdtempSync(join(root, 'own-'))
})
after(() => {
  server.close()
  server.closeAllConnections()
  rmSync(root, { recursive: true })
})

/** Serves git's own server program over https. */
function serveGit(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', address)
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: join(root, 'repositories'),
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(url.pathname),
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  request.pipe(backend.stdin)
  const chunks: Buffer[] = []
  backend.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  backend.on('close', () => {
    const answer = Buffer.concat(chunks)
    const end = answer.indexOf('\r\n\r\n')
    const headers = answer
      .toString('latin1', 0, end)
      .split('\r\n')
      .map((line) => line.split(': ') as [string, string])
    const status = headers.find(([name]) => name === 'Status')?.[1] ?? '200'
    response.writeHead(Number.parseInt(status, 10), Object.fromEntries(headers.filter(([name]) => name !== 'Status')))
    response.end(answer.subarray(end + 4))
  })
}

function git(folder: string, ...args: string[]): string {
  const who = ['-c', 'user.name=x', '-c', 'user.email=x@localhost', '-c', 'protocol.file.allow=always']
  return execFileSync('git', [...who, ...args], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  }).trim()
}

const whole = { 'site.yml': '- hosts: all\n', 'description.txt': 'one\n', 'ports.json': '{"NumOfPorts": 1}' }

/** Creates a repository on the server, and returns its commit. */
function repository(name: string, files: Record<string, string> = whole, change: (folder: string) => void = () => {}) {
  const folder = join(root, 'repositories', name)
  mkdirSync(folder, { recursive: true })
  if (!existsSync(join(folder, '.git'))) git(folder, 'init', '--quiet', '--initial-branch=main')
  for (const [file, content] of Object.entries(files)) writeFileSync(join(folder, file), content)
  change(folder)
  git(folder, 'add', '-A')
  git(folder, 'commit', '--quiet', '--allow-empty', '--message=x')
  return { folder, commit: git(folder, 'rev-parse', 'HEAD') }
}

function pull(url: string, more: Partial<Pull> = {}) {
  const signal = new AbortController().signal
  return pullPlugin({ url, commit: '', ssh: false, folder: own, env: process.env, caFile: caFile(), signal, ...more })
}

test('a plugin is cloned, pinned to the commit that is shown, without git’s own files', async () => {
  const { commit } = repository('friend/hello')
  const plugin = await pull(`${address}/friend/hello/`)
  assert.deepEqual([plugin.name, plugin.commit, plugin.url], ['friend_hello', commit, `${address}/friend/hello`])
  assert.deepEqual(readdirSync(join(own, 'friend_hello')).sort(), ['.p2prc.json', ...Object.keys(whole).sort()])
  assert.deepEqual(readdirSync(own), ['friend_hello'])
  assert.deepEqual(listPlugins({ own, shipped: own }), [plugin])
})

test('a second pull installs the newest commit, or with --commit the requested one', async () => {
  const old = repository('friend/grows')
  const middle = repository('friend/grows', { 'description.txt': 'two\n' })
  const newest = repository('friend/grows', { 'description.txt': 'three\n' })
  await pull(`${address}/friend/grows`, { commit: old.commit })
  assert.equal(listPlugins({ own, shipped: own })[0]?.description, 'one')
  assert.equal((await pull(`${address}/friend/grows`)).commit, newest.commit)
  assert.equal(listPlugins({ own, shipped: own })[0]?.description, 'three')
  assert.equal((await pull(`${address}/friend/grows`, { commit: middle.commit })).description, 'two')
  await assert.rejects(pull(`${address}/friend/grows`, { commit: 'f'.repeat(40) }), { code: 'pull_failed' })
  for (const commit of ['main', '--upload-pack=x', 'abc', '../x'])
    await assert.rejects(pull(`${address}/friend/grows`, { commit }), { code: 'bad_request' }, commit)
  assert.equal(listPlugins({ own, shipped: own })[0]?.description, 'two')
  assert.deepEqual(readdirSync(own), ['friend_grows'])
})

test('two concurrent pulls of one plugin both succeed', async () => {
  repository('friend/twice')
  const plugins = await Promise.all([1, 2, 3].map(() => pull(`${address}/friend/twice`)))
  assert.equal(new Set(plugins.map(({ commit }) => commit)).size, 1)
  assert.deepEqual(readdirSync(own), ['friend_twice'])
})

test('a plugin of the same name from elsewhere is not touched', async () => {
  repository('friend/mine')
  mkdirSync(join(own, 'friend_mine'))
  writeFileSync(join(own, 'friend_mine/notes'), 'mine')
  await assert.rejects(pull(`${address}/friend/mine`), { code: 'plugin_exists' })
  assert.equal(readFileSync(join(own, 'friend_mine/notes'), 'utf8'), 'mine')
})

test('a repository that is not a valid plugin is rejected, and nothing of it stays', async () => {
  const bad: [string, Record<string, string>, (folder: string) => void, RegExp][] = [
    ['no-ports', { 'site.yml': '', 'description.txt': '' }, () => {}, /no ports.json/],
    ['link-out', whole, (folder) => symlinkSync('../..', join(folder, 'roles')), /"roles" leads out/],
    ['link-absolute', whole, (folder) => symlinkSync('/etc/passwd', join(folder, 'secret')), /"secret" leads out/],
    ['control', whole, (folder) => writeFileSync(join(folder, 'a\u001b[31m'), ''), /control characters/],
    ['large', whole, (folder) => writeFileSync(join(folder, 'zeros'), Buffer.alloc(65 * 1024 * 1024)), /larger than/],
    [
      'many',
      whole,
      (folder) => {
        for (let file = 0; file < 2_001; file += 1) writeFileSync(join(folder, `f${file}`), '')
      },
      /more than 2000 files/,
    ],
  ]
  for (const [name, files, change, why] of bad) {
    repository(`bad/${name}`, files, change)
    await assert.rejects(pull(`${address}/bad/${name}`), { code: 'plugin_bad', message: why }, name)
    assert.deepEqual(readdirSync(own), [], name)
  }
})

test('neither hooks nor submodules nor a filter of the repository run or are fetched', async () => {
  const inner = repository('friend/inner')
  repository('friend/outer', { ...whole, '.gitattributes': '* filter=evil\n' }, (folder) => {
    if (!existsSync(join(folder, 'sub'))) git(folder, 'submodule', '--quiet', 'add', inner.folder, 'sub')
    mkdirSync(join(folder, 'hooks'))
    writeFileSync(join(folder, 'hooks/post-checkout'), `#!/bin/sh\ntouch ${canary()}\n`, { mode: 0o755 })
  })
  await pull(`${address}/friend/outer`)
  assert.deepEqual(readdirSync(join(own, 'friend_outer/sub')), [])
  assert.ok(!existsSync(canary()))
})

test('a server that is missing, has no repository, or redirects is pull_failed, and nothing stays', async () => {
  await assert.rejects(pull(`${address}/friend/unknown`), { code: 'pull_failed' })
  await assert.rejects(pull('https://127.0.0.1:1/a/b'), { code: 'pull_failed' })
  repository('friend/hello')
  await assert.rejects(pull(`${address}/friend/hello`, { caFile: undefined }), {
    code: 'pull_failed',
    message: /certificate/i,
  })
  for (const target of [`file://${root}/repositories/friend/hello`, `ext::touch ${canary()}`, 'http://127.0.0.1:1/x']) {
    redirect = target
    await assert.rejects(pull(`${address}/friend/hello`), { code: 'pull_failed' }, target)
  }
  assert.deepEqual(readdirSync(own), [])
  assert.ok(!existsSync(canary()))
})

test('an abandoned pull ends git and leaves nothing', async () => {
  repository('friend/hello')
  const abort = new AbortController()
  const pulling = pull(`${address}/friend/hello`, { signal: abort.signal })
  abort.abort()
  await assert.rejects(pulling)
  assert.deepEqual(readdirSync(own), [])
})

/** Installs a program named ssh that runs git's server program here, as a remote shell would, or fails as ssh does. */
function fakeSsh(script: string): NodeJS.ProcessEnv {
  const bin = mkdtempSync(join(root, 'bin-'))
  const words = `#!/bin/sh\nprintf '%s\\n' "$@" > '${bin}/words'\nfor last; do :; done\n${script}\n`
  writeFileSync(join(bin, 'ssh'), words, { mode: 0o755 })
  return { ...process.env, PATH: `${bin}:${process.env.PATH}` }
}

test('a pull over ssh works if it is allowed, and a failure has its reason', async () => {
  const { folder, commit } = repository('friend/hello')
  const url = `ssh://git@box.example:2222${folder}`
  const env = fakeSsh('exec sh -c "$last"')
  await assert.rejects(pull(url, { env }), { code: 'bad_url', message: /without --ssh/ })
  const plugin = await pull(url, { ssh: true, env })
  assert.deepEqual([plugin.commit, plugin.url], [commit, url])
  const words = readFileSync(join(env.PATH?.split(':')[0] as string, 'words'), 'utf8').split('\n')
  assert.deepEqual([words.includes('git@box.example'), words[words.indexOf('-p') + 1]], [true, '2222'])
  for (const why of ['Host key verification failed.', 'git@box.example: Permission denied (publickey).']) {
    const refused = pull(`${url}x`, { ssh: true, env: fakeSsh(`echo '${why}' >&2; exit 255`) })
    await assert.rejects(refused, ({ code, message }) => code === 'pull_failed' && message.includes(why), why)
  }
})

test('a plugin is named by the whole path, as P2PRC intended', () => {
  const name = (url: string) => parsePullUrl(url, { ssh: true }).name
  for (const [url, expected] of [
    ['https://github.com/a/b/', 'a_b'],
    ['https://github.com/a/b', 'a_b'],
    ['https://github.com/a/b.git', 'a_b'],
    ['HTTPS://GitHub.com/Akilan1999/p2prc-vscode-browser/', 'Akilan1999_p2prc-vscode-browser'],
    ['https://git.example:8443/~me/x.y', 'me_x.y'],
    ['ssh://git@host:2222/a/b.git', 'a_b'],
  ] as const)
    assert.equal(name(url), expected, url)
})

test('forty hostile addresses are each rejected before git runs, and none of their programs runs', async () => {
  const touch = `touch ${canary()}`
  const hostile = [
    `ext::sh -c ${touch}`,
    `EXT::sh -c ${touch}`,
    `eXt::${touch}`,
    `ext::sh%20-c%20touch%20${canary()}`,
    `\next::${touch}`,
    `\text::${touch}`,
    ` ext::${touch}`,
    `https://h/a/b\next::${touch}`,
    `--upload-pack=${touch}`,
    `-u${touch}`,
    `-c`,
    `--config=core.sshCommand=${touch}`,
    `--template=${root}`,
    `file://${root}/repositories/friend/hello`,
    `FILE:///etc`,
    `file:/etc`,
    `/etc`,
    `./x`,
    `../x`,
    `~/x`,
    `git://h/a/b`,
    `http://h/a/b`,
    `ftp://h/a/b`,
    `rsync://h/a`,
    `fd::17/x`,
    `https::${touch}`,
    `https::ext::${touch}`,
    `ssh://-oProxyCommand=${touch}/a/b`,
    `ssh://-oProxyCommand=touch/a/b`,
    `ssh://x@-oProxyCommand=touch/a/b`,
    `ssh://-oProxyCommand=touch@h/a/b`,
    `-oProxyCommand=touch:a/b`,
    'git@h:a/b',
    'ssh://h/a/b',
    'https://-x/a/b',
    'https://user:secret@h/a/b',
    'https://token@h/a/b',
    'https://h/../../etc/passwd/..',
    'https://h/%2e%2e/%2e%2e/etc',
    'https://h/a%00b',
    'https://h/a/b\0',
    'https://h/',
    'https://h',
    'https:///a/b',
    `https://h/a;${touch}`,
    `https://h/$(touch%20x)`,
    'https://h/`touch`',
    'https://h/a/-b',
    'https://h/.git/hooks',
    'https://h/a?upload-pack=x',
    'https://h/a#x',
    `https://h/${'a'.repeat(4_096)}`,
    `https://h/${'a/'.repeat(60)}b`,
    'javascript:alert(1)',
    'data:text/plain,x',
    '',
    'https://h\\@evil/a/b',
    'https://h/a\\..\\b',
    'https://[::1%25-x]/a/b',
  ]
  assert.ok(hostile.length >= 40)
  for (const url of hostile) await assert.rejects(pull(url), { code: 'bad_url' }, JSON.stringify(url).slice(0, 80))
  for (const url of hostile.filter((text) => text.startsWith('ssh://-') || text.includes('@-')))
    await assert.rejects(pull(url, { ssh: true }), { code: 'bad_url' }, url)
  assert.ok(!existsSync(canary()))
  assert.deepEqual(readdirSync(own), [])
})
