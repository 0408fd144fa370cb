/** The `Version` in every file. A file with a higher one is rejected and never rewritten; P2PRC's files have none. */
export const FILE_VERSION = 1

/**
 * Returns the version of a document, which `openStore` checks before the schema; undefined if it has none, as P2PRC's
 * files.
 */
export function fileVersion(document: unknown): number | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const version = Object.entries(document).find(([key]) => key.toLowerCase() === 'version')?.[1]
  return typeof version === 'number' ? version : undefined
}
