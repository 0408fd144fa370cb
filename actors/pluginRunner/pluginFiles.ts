import { readdirSync, realpathSync } from 'node:fs'
import { join, sep } from 'node:path'

const FILES_MAX = 2_000

/**
 * Every file of a folder, as paths in it. Throws an `Error` where there are too many, or where a link leads out or
 * something is neither file, folder nor link: a copy of it could then read what is not the plugin's.
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

/** Throws an `Error` where the path, all links followed, is not below `root`, which is a real path. */
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

/** Fit for a terminal: a name from outside may carry escape sequences. */
export function printable(name: string): string {
  return name.replace(/[^\x20-\x7e]/g, '?').slice(0, 128)
}
