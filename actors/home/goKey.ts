import { chmod, readFile, stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { replace } from './atomicFile.ts'

/**
 * Copies the private key of Go P2PRC in this home into a file of ours, and resolves with the path that ssh can use, or
 * with undefined if there is no such key. Go gives its file the mode 0130, which ssh refuses and which its owner cannot
 * read. The file itself stays as it is.
 */
export async function copyGoKey(paths: { dir: string; key: string }, configured: string): Promise<string | undefined> {
  const original = resolve(paths.dir, configured)
  if (original === paths.key) return paths.key
  const found = configured ? await stat(original).catch(() => undefined) : undefined
  if (!found?.isFile()) return undefined
  const copy = join(paths.dir, 'go_key')
  const copied = await stat(copy).catch(() => undefined)
  if (!copied || copied.mtimeMs < found.mtimeMs) await replace(copy, await readPrivate(original, found.mode))
  return copy
}

async function readPrivate(path: string, mode: number): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EACCES') throw error
    await chmod(path, 0o600)
    return await readFile(path, 'utf8').finally(() => chmod(path, mode & 0o777))
  }
}
