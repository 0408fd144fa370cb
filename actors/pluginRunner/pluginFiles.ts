import { readdirSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'

const FILES_MAX = 2_000

/**
 * Lists every file of a folder, as paths relative to it. Throws an `Error` if there are too many, if a link leads out
 * of the folder, or if an entry is not a file, folder or link: a copy could otherwise read files outside the plugin.
 */
export function listFiles(folder: string): string[] {
  const root = realpathSync(folder)
  const files: string[] = []
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (files.length >= FILES_MAX) throw new Error(`it has more than ${FILES_MAX} files`)
    if (entry.isSymbolicLink()) assertInside(root, path)
    else if (!entry.isFile() && !entry.isDirectory()) throw new Error(`"${printable(entry.name)}" is not a file`)
    if (!entry.isDirectory()) files.push(path.slice(root.length + 1))
  }
  return files.sort()
}

/** Throws an `Error` if the path, with all links resolved, is not below `root`. `root` must be a real path. */
export function assertInside(root: string, path: string): void {
  let real: string
  try {
    real = realpathSync(path)
  } catch {
    throw new Error(`"${printable(path.slice(root.length + 1))}" leads nowhere`)
  }
  if (!real.startsWith(root + sep))
    throw new Error(`"${printable(path.slice(root.length + 1))}" leads out of the folder`)
}

/** Makes a name safe for a terminal: a name from outside may contain escape sequences. */
export function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 128)
}
