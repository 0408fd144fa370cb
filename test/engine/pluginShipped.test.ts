import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { shipped } from '../../actors/homePaths.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { startContainers, type TestContainers } from '../support/pluginContainers.ts'
import { pluginFixture } from '../support/pluginFixture.ts'

let containers: TestContainers
before(async () => {
  containers = await startContainers(3, 1)
})
after(() => containers.remove())

const fixture = (loans: readonly Loan[]) =>
  pluginFixture(loans, { files: containers.files, folders: { own: '/nowhere', shipped: shipped.plugins } })

function inContainer(index: number, command: string): string {
  const { Container } = containers.loans[index] as Loan
  const options = ['-F', '/dev/null', '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null']
  const endpoint = [
    '-i',
    containers.files.key,
    '-p',
    String(Container.Ports.Port[0]?.ExternalPort),
    'root@127.0.0.1',
    command,
  ]
  return execFileSync('ssh', [...options, '-o', 'LogLevel=ERROR', ...endpoint], { encoding: 'utf8' }).trim()
}

test('notebook: Jupyter answers through the lender’s port only with the token, and a second run keeps it', async () => {
  const at = fixture(containers.loans.slice(0, 1))
  try {
    const first = await at.run('notebook')
    assert.equal(first.failure, undefined)
    const at1 = `http://127.0.0.1:${first.members[0]?.ports[0]?.external}`
    const token = inContainer(0, 'cat /root/.jupyter/token')
    assert.match(token, /^[0-9a-fA-F]{32}$/)
    assert.equal((await fetch(`${at1}/api/contents`)).status, 403)
    const answer = await fetch(`${at1}/api/contents`, { headers: { authorization: `token ${token}` } })
    assert.equal(((await answer.json()) as { type: string }).type, 'directory')
    assert.match(
      first.steps.find(({ task, status }) => task === 'how to use it' && status === 'ok')?.message ?? '',
      /Jupyter answers on port \d+/,
    )
    assert.doesNotMatch(JSON.stringify(first.steps), new RegExp(token))

    const before = inContainer(0, 'cat /run/notebook.pid')
    const again = await at.run('notebook')
    assert.equal(again.failure, undefined)
    assert.ok(again.steps.some(({ task, status }) => /^install/.test(task) && status === 'skipped'))
    assert.deepEqual(
      [inContainer(0, 'cat /run/notebook.pid'), inContainer(0, 'cat /root/.jupyter/token')],
      [before, token],
    )
  } finally {
    await at.stop()
  }
})

// A fake is used because code-server's own package is not in Debian: it reads the settings and serves as code-server
// does.
const fake = `
set -e
mkdir -p /root/p/DEBIAN /root/p/usr/bin
printf 'Package: code-server\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@localhost>\\nDescription: x\\n' > /root/p/DEBIAN/control
printf '#!/bin/sh\\nexec python3 -m http.server "$(sed -n "s/^bind-addr: .*://p" /root/.config/code-server/config.yaml)"\\n' > /root/p/usr/bin/code-server
chmod 755 /root/p/usr/bin/code-server
dpkg-deb --build /root/p /root/stand-in.deb
`

test('vscode: if the package is unavailable the error says what to do; otherwise the port answers', async () => {
  const at = fixture(containers.loans.slice(0, 1))
  try {
    const refused = await at.run('vscode', 'grp', { vars: { package: 'http://127.0.0.1:1/code-server.deb' } })
    assert.equal(refused.code, 'plugin_failed')
    assert.match(
      refused.failure?.message ?? '',
      /code-server \S+ could not be installed: .*refused.*must reach github.com/s,
    )
    assert.deepEqual(at.used, [])

    inContainer(0, fake)
    const { failure, members } = await at.run('vscode', 'grp', { vars: { package: 'file:///root/stand-in.deb' } })
    assert.equal(failure, undefined)
    assert.equal((await fetch(`http://127.0.0.1:${members[0]?.ports[0]?.external}/`)).status, 200)
    assert.match(
      inContainer(0, 'cat /root/.config/code-server/config.yaml'),
      /auth: password\npassword: [A-Za-z0-9]{24}\n/,
    )
    assert.equal(inContainer(0, 'stat -c %a /root/.config/code-server/config.yaml'), '600')
    assert.equal(at.used.length, 1)
  } finally {
    await at.stop()
  }
})

test('render: the frames are distributed, those of a lost member are rendered by the others, and all are fetched', async () => {
  const at = fixture(containers.loans.slice(1))
  try {
    const vars = { frames: '9', width: '64', height: '48', batch: '2' }
    let killed = false
    const lost = await at.run(
      'render',
      'grp',
      { vars },
      {
        onFact: (fact) => {
          if (killed || fact.type !== 'plugin.progress' || fact.item === '' || fact.task !== 'render a frame') return
          killed = true
          void containers.kill(2)
        },
      },
    )
    assert.equal(lost.code, 'plugin_failed')
    assert.deepEqual(
      lost.members.map(({ status }) => status),
      ['ok', 'unreachable'],
    )
    const folder = join(at.root, 'output/render')
    const frames = Array.from({ length: 9 }, (_, number) => `frame-000${number + 1}.png`)
    assert.deepEqual(
      readdirSync(folder)
        .filter((name) => !name.startsWith('.'))
        .sort(),
      frames,
    )
    for (const frame of frames) {
      const image = readFileSync(join(folder, frame))
      assert.deepEqual(
        [image.toString('latin1', 1, 4), image.readUInt32BE(16), image.readUInt32BE(20)],
        ['PNG', 64, 48],
      )
    }
    const rendered = lost.steps.filter(({ task, item }) => task === 'bring a frame home' && item !== '')
    assert.deepEqual([...new Set(rendered.map(({ item }) => item))].sort(), frames, 'a result for each frame')

    const alone = containers.loans[1]?.ID
    const again = await at.run('render', alone, { vars })
    assert.deepEqual(
      [again.code, again.steps.filter(({ item, task }) => item !== '' && task === 'render a frame')],
      ['', []],
    )
    const other = await at.run('render', alone, { vars: { ...vars, width: '80' } })
    assert.match(other.failure?.message ?? '', /has frames of another film; name another folder/)
  } finally {
    await at.stop()
  }
})
