import { AppError } from '../../protocol/errors.ts'

/** What the code of a file-system error means, and the key of the advice in the catalogue, where it has one of its own. */
const reasons: Record<string, { why: string; kind?: string }> = {
  ENOSPC: { why: 'the disk is full', kind: 'full' },
  EDQUOT: { why: 'the disk quota is used up', kind: 'full' },
  EACCES: { why: 'permission denied' },
  EPERM: { why: 'permission denied' },
  EROFS: { why: 'the file system is read-only' },
  EISDIR: { why: 'it is a folder', kind: 'folder' },
  ENOENT: { why: 'there is no such file or folder', kind: 'elsewhere' },
  ENOTDIR: { why: 'a part of the path is not a folder', kind: 'elsewhere' },
  EEXIST: { why: 'a file of that name is in the way', kind: 'elsewhere' },
}

/** The `home_unusable` of a file-system error at `path`. */
export function homeUnusable(path: string, error: unknown): AppError {
  return new AppError('home_unusable', { path, ...reason(error) }, error)
}

/** The `disk_failed` of a file-system error at `path`. */
export function diskFailed(path: string, error: unknown): AppError {
  return new AppError('disk_failed', { path, ...reason(error) }, error)
}

/** The reason of a file-system error in plain words, and the key of its advice. */
export function reason(error: unknown): { why: string; kind?: string } {
  const { code, message } = error as NodeJS.ErrnoException
  return (code && reasons[code]) || { why: message }
}
