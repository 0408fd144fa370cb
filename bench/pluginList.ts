import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Bench, interleave } from './measure.ts'
import { cli, scratch, timed } from './processes.ts'

const PLUGINS = 200

/** Compares a whole process that lists many plugins with the start of Node itself. */
export const bench: Bench = async () => {
  const home = scratch('plugins')
  const empty = join(home, 'empty.js')
  writeFileSync(empty, '')
  for (let number = 0; number < PLUGINS; number += 1) {
    const folder = join(home, 'plugin/deploy', `plugin-${number}`)
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'site.yml'), '- hosts: all\n  tasks: []\n')
    writeFileSync(join(folder, 'description.txt'), `Plugin number ${number}\n`)
    writeFileSync(join(folder, 'ports.json'), '{"NumOfPorts": 1}\n')
  }
  return [
    await interleave({
      what: `\`p2prc plugin ls\` of ${PLUGINS} plugins`,
      baseline: '`node empty.js`',
      unit: 'ms',
      goal: { sign: '≤', ratio: 1.6 },
      rounds: 31,
      warmUp: 3,
      ours: () => timed([cli, 'plugin', 'ls'], { P2PRC: home }),
      theirs: () => timed([empty]),
    }),
  ]
}
