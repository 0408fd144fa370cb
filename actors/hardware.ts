import { statfsSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import type { Specs } from '../protocol/specs.ts'

/**
 * Returns the hardware as far as it can be read at once and without a program, in MiB, for the first record of a node: a
 * second one because of it would cross the whole network. Cards are read later.
 */
export function readHardware(): Pick<Specs, 'Cores' | 'RAM' | 'Disk' | 'GPUs'> {
  const { blocks, bsize } = statfsSync('/')
  return { Cores: cpus().length, RAM: mebibytes(totalmem()), Disk: mebibytes(blocks * bsize), GPUs: [] }
}

export function mebibytes(bytes = 0): number {
  return Math.floor(bytes / (1024 * 1024))
}
