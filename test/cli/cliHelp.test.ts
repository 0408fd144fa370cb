import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { cliReference } from '../../scripts/cliReference.ts'
import { freshHome, launch, p2prc, root } from '../support/cliProgram.ts'

/** The help and the version, through the real program. */

describe('cli: help and version', () => {
  test('the version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
    for (const spelled of ['-v', '--version'])
      assert.deepEqual(await p2prc(freshHome(), spelled), {
        code: 0,
        stdout: `p2prc version ${version}\n`,
        stderr: '',
      })
  })

  test('help of all and of one, without making a home', async () => {
    const home = freshHome()
    for (const args of [[], ['--help'], ['-h']]) {
      const { code, stdout } = await p2prc(home, ...args)
      assert.equal(code, 0)
      assert.match(stdout, /touch <where>[\s\S]*trust add[\s\S]*--CreateVM[\s\S]*P2PRC_PORTS/)
    }
    const touch = (await p2prc(home, 'touch', '--help')).stdout
    assert.match(touch, /Take a container on another machine\.\n {2}where: .*\n[\s\S]*-p, --ports <count>/)
    assert.equal((await p2prc(home, 'help', 'touch')).stdout, touch)
    for (const args of [
      ['help', 'group'],
      ['group', '--help'],
    ]) {
      const { code, stdout } = await p2prc(home, ...args)
      assert.equal(code, 0)
      assert.match(stdout, /group create \[\.\.\.ids\][\s\S]*group exec/)
      assert.doesNotMatch(stdout, /touch|--CreateVM/)
    }
    assert.equal(existsSync(home), false)
  })

  test('docs/cli.md is the program’s own table', () => {
    assert.equal(readFileSync(join(root, 'docs/cli.md'), 'utf8'), cliReference())
  })

  test('a reader that goes away is no error', async () => {
    const child = launch(freshHome(), ['--help'])
    child.stdout?.destroy()
    let stderr = ''
    child.stderr?.on('data', (chunk) => {
      stderr += chunk
    })
    assert.equal((await once(child, 'close'))[0], 0)
    assert.equal(stderr, '')
  })
})
