// `npm test`: sets up what the tests need, then runs them all; `npm test -- test/bus.test.ts` runs what is named.
// `--pure` leaves out the tests that need an engine, other programs or root: they lie in `test/engine/`.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as plugins from './pluginPrograms.mjs'
import { root, StepFailed, setUp, step } from './setup.mjs'

/** What the networks of the tests are made of, and the Debian package that brings each. */
const networks = { iperf3: 'iperf3', miniupnpd: 'miniupnpd-nftables', nft: 'nftables' }

const arguments_ = process.argv.slice(2)
const pure = arguments_.includes('--pure')
const named = arguments_.filter((argument) => argument !== '--pure')

const all = readdirSync(join(root, 'test'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.test.ts') && !(pure && name.startsWith('engine/')))
  .map((name) => join('test', name))
  .sort()

const node = (args, env = {}) =>
  spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } }).status ?? 1

function succeed(status) {
  if (status !== 0) throw new Error(`it ended with ${status}`)
}

try {
  const extra = { ...plugins.programs, ...networks }
  await setUp(pure ? { engine: false } : { extra, packages: plugins.packages })
  await step('Build', () => succeed(node(['--import', 'tsx', 'scripts/build.ts'])))
  if (!pure) {
    // Once and ahead, so that no test has the minute of the first build in its time.
    const home = mkdtempSync(join(tmpdir(), 'p2prc-test-'))
    await step('Image', () => succeed(node([join(root, 'dist', 'cli.js'), 'image', 'build'], { P2PRC: home })))
    rmSync(home, { recursive: true })
  }
} catch (error) {
  if (!(error instanceof StepFailed)) throw error
  process.exit(1)
}

const flags = [
  '--conditions=development',
  '--import',
  'tsx',
  '--test',
  '--test-concurrency=2',
  '--test-timeout=480000',
  '--test-reporter=spec',
]
process.exit(node([...flags, ...(named.length > 0 ? named : all)]))
