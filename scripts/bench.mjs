// `npm run bench [-- name… --write]`: sets up what the benches need, builds the bundle, then runs them.
import { spawnSync } from 'node:child_process'
import * as plugins from './pluginPrograms.mjs'
import { root, StepFailed, setUp } from './setup.mjs'

try {
  await setUp({ extra: { ...plugins.programs, iperf3: 'iperf3', wrk: 'wrk' }, packages: plugins.packages })
} catch (error) {
  if (!(error instanceof StepFailed)) throw error
  process.exit(1)
}
for (const script of [['scripts/build.ts'], ['bench/index.ts', ...process.argv.slice(2)]]) {
  const { status } = spawnSync(process.execPath, ['--import', 'tsx', ...script], { cwd: root, stdio: 'inherit' })
  if (status !== 0) process.exit(status ?? 1)
}
