import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bench, interleave } from './measure.ts'
import { cli, ended, freePort, scratch, startedNode, timed } from './processes.ts'

/** Compares whole processes of the command line with the start of Node itself. */
export const bench: Bench = async () => {
  const home = scratch('start-up')
  const empty = join(home, 'empty.js')
  writeFileSync(empty, '')
  const node = await startedNode(home, await freePort())
  try {
    const common = { baseline: '`node empty.js`', unit: 'ms', rounds: 91, warmUp: 3, theirs: () => timed([empty]) }
    return [
      await interleave({
        ...common,
        what: '`p2prc --version`',
        goal: { sign: '≤', ratio: 1.15 },
        ours: () => timed([cli, '--version']),
      }),
      await interleave({
        ...common,
        what: '`p2prc ps` against a running node',
        goal: { sign: '≤', ratio: 1.35 },
        ours: () => timed([cli, 'ps'], { P2PRC: home }),
      }),
    ]
  } finally {
    await ended(node)
  }
}
