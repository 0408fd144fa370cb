import { dirname, join } from 'node:path'
import { build } from 'esbuild'
import { cli } from './processes.ts'

/** Bundles a file of this folder into one script, because a TypeScript loader would dominate what is measured. Returns its path. */
export async function bundled(name: string): Promise<string> {
  const outfile = join(dirname(cli), 'bench', `${name}.mjs`)
  const options = { bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'error' } as const
  await build({ ...options, entryPoints: [join(import.meta.dirname, `${name}.ts`)], outfile })
  return outfile
}
