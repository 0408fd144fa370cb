import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { git } from '../../actors/pluginRunner/git.ts'

/** A home whose git configuration redirects all of https, and runs a program for each file of a checkout. */
function hostileHome(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'p2prc-git-'))
  t.after(() => rmSync(home, { recursive: true }))
  const canary = join(home, 'canary')
  const config = [
    '[url "https://elsewhere.example/"]\n\tinsteadOf = https://',
    `[filter "evil"]\n\tsmudge = "touch ${canary}; cat"\n\trequired = true`,
  ].join('\n')
  mkdirSync(join(home, 'git'))
  for (const path of ['.gitconfig', 'git/config', 'variable']) writeFileSync(join(home, path), `${config}\n`)
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    XDG_CONFIG_HOME: home,
    GIT_CONFIG_GLOBAL: join(home, 'variable'),
    GIT_CONFIG_COUNT: '1',
    GIT_CONFIG_KEY_0: 'filter.evil.smudge',
    GIT_CONFIG_VALUE_0: `touch ${canary}; cat`,
  }
  return { home, canary, env }
}

test('no configuration of the user acts on a pull: neither a redirection nor a filter', async (t) => {
  const { home, canary, env } = hostileHome(t)
  const options = { env, ssh: false, signal: new AbortController().signal, folder: home }
  const url = 'https://friend.example/plugin'
  const redirected = execFileSync('git', ['ls-remote', '--get-url', url], { env, encoding: 'utf8' })
  assert.equal(redirected, 'https://elsewhere.example/friend.example/plugin\n', 'the configuration is really hostile')
  assert.equal(await git(['ls-remote', '--get-url', url], options), `${url}\n`)

  const repository = join(home, 'repository')
  const plain = { env: { PATH: env.PATH, GIT_CONFIG_GLOBAL: '/dev/null' } }
  execFileSync('git', ['init', '--quiet', repository], plain)
  writeFileSync(join(repository, '.gitattributes'), '*.yml filter=evil\n')
  writeFileSync(join(repository, 'site.yml'), '- hosts: all\n')
  execFileSync('git', ['-C', repository, 'add', '-A'], plain)
  const checkOut = () => {
    rmSync(join(repository, 'site.yml'))
    return ['-C', repository, 'checkout', '--', '.']
  }
  await git(checkOut(), options)
  assert.equal(readFileSync(join(repository, 'site.yml'), 'utf8'), '- hosts: all\n')
  assert.equal(existsSync(canary), false)
  execFileSync('git', checkOut(), { env })
  assert.equal(existsSync(canary), true, 'the configuration is really hostile')
})

test('the certificates that the owner names for git are those that it trusts', async (t) => {
  const { home, env } = hostileHome(t)
  const named = { ...env, GIT_SSL_CAINFO: '/etc/own-ca.pem', GIT_SSL_CAPATH: '/etc/own-cas' }
  const options = { env: named, ssh: false, signal: new AbortController().signal, folder: home }
  const shown = await git(['-c', 'alias.show-ca=!printenv GIT_SSL_CAINFO GIT_SSL_CAPATH', 'show-ca'], options)
  assert.equal(shown, '/etc/own-ca.pem\n/etc/own-cas\n')
})
