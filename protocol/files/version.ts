/** Written as `Version` into every file. A file with a larger one is refused, never rewritten; none at all is P2PRC's. */
export const FILE_VERSION = 1

/** What `openStore` looks at before the schema. `undefined`: P2PRC wrote it, or it is not an object. */
export function fileVersion(document: unknown): number | undefined {
  if (typeof document !== 'object' || document === null) return undefined
  const version = Object.entries(document).find(([key]) => key.toLowerCase() === 'version')?.[1]
  return typeof version === 'number' ? version : undefined
}
