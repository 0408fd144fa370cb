import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, join } from 'node:path'

/** Returns the path of a program in the folders of `PATH`, or undefined. */
export async function findProgram(program: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  for (const folder of (env.PATH ?? '').split(delimiter)) {
    const path = join(folder, program)
    if (folder && (await usable(path, constants.X_OK))) return path
  }
  return undefined
}

/** Whether this process may use the file; `mode` is of `fs.constants`. */
export function usable(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  )
}
