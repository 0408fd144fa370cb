import { pack } from 'tar-stream'

export interface TarFile {
  path: string
  mode: number
  /** The content of a file; null for a folder. */
  content: Buffer | string | null
}

/** Packs files and folders that belong to root. The archive has no times, so that equal files give equal bytes. */
export async function tarOf(files: readonly TarFile[]): Promise<Buffer> {
  const tar = pack()
  for (const { path, mode, content } of files) {
    const header = { name: path, mode, mtime: new Date(0), uid: 0, gid: 0 }
    if (content === null) tar.entry({ ...header, type: 'directory' })
    else tar.entry(header, content)
  }
  tar.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of tar) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}
