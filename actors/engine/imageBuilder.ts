import { createHash } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { ContainerImage } from '../../machines/image.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Engine } from './engine.ts'
import { tarOf } from './tar.ts'

/** Label of a built image with the name of its folder. The label `p2prc.digest` has the digest. */
export const IMAGE_LABEL = 'p2prc.image'

/** The grammar of the last component of an image name, so that a folder's name is a valid image name. */
const IMAGE_NAME = /^[a-z0-9]+(?:[._-][a-z0-9]+)*$/
const IMAGE_NAME_MAX = 64

/** Limit of a folder's size, because the whole folder is read into memory. No image needs as much. */
const FOLDER_MAX_BYTES = 64 * 1024 * 1024

const portsFile = z.looseObject({
  Port: z
    .array(
      z.object({
        PortName: z.string().max(128),
        InternalPort: z.number().int().min(1).max(65_535),
        Type: z.enum(['tcp', 'udp']).default('tcp'),
        Description: z.string().max(1_024).default(''),
      }),
    )
    .max(64),
})

interface FolderFile {
  path: string
  mode: number
  content: Buffer
}

/**
 * Reads the image folder `name` (in P2PRC's shape: Dockerfile, description.txt, ports.json, other files). Throws `bad_image`
 * if the name or the folder is not valid.
 */
export async function inspectImage(engine: Engine, imagesDir: string, name: string): Promise<ContainerImage> {
  const files = await readFolder(imagesDir, name)
  const content = (path: string) => files.find((file) => file.path === path)?.content.toString()
  if (content('Dockerfile') === undefined || content('description.txt') === undefined) throw badImage(name)
  const { Port: ports } = readPorts(name, content('ports.json'))
  if (!ports.some(({ PortName, Type }) => PortName === 'SSH' && Type === 'tcp')) throw badImage(name)
  const digest = digestOf(files)
  const tag = `p2prc/${name}:${digest.slice(0, 12)}`
  return { name, tag, digest, ports, built: await engine.hasImage(tag) }
}

/** Builds the image on top of `base`. `onLine` receives every line of the build. Throws `image_failed`. */
export async function buildImage(
  { engine, imagesDir }: { engine: Engine; imagesDir: string },
  { name, tag, digest }: ContainerImage,
  base: string,
  onLine: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const files = await readFolder(imagesDir, name)
  if (digestOf(files) !== digest)
    throw new AppError('image_failed', { why: `the folder of "${name}" has changed meanwhile` })
  const labels = { [IMAGE_LABEL]: name, 'p2prc.digest': digest, 'p2prc.base': base }
  await engine.build(await tarOf(files), { tag, args: { BASE: base }, labels }, onLine, signal)
}

/** Removes images that were built from earlier contents of the folder, except those that a container uses. */
export async function pruneImages(engine: Engine, { name, digest }: ContainerImage): Promise<void> {
  for (const { id, tags, labels } of await engine.images(`${IMAGE_LABEL}=${name}`)) {
    if (labels['p2prc.digest'] === digest) continue
    for (const old of tags.length > 0 ? tags : [id]) await engine.removeImage(old).catch(() => {})
  }
}

async function readFolder(imagesDir: string, name: string): Promise<FolderFile[]> {
  if (name.length > IMAGE_NAME_MAX || !IMAGE_NAME.test(name)) throw badImage(name)
  const folder = join(imagesDir, name)
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: Error) => {
    throw badImage(name, error)
  })
  const files: FolderFile[] = []
  let bytes = 0
  for (const entry of entries.filter((candidate) => candidate.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const { mode, size } = await stat(path)
    bytes += size
    if (bytes > FOLDER_MAX_BYTES) throw badImage(name)
    // Only the owner's execute bit counts, because checkouts of one folder may differ in the other bits.
    files.push({
      path: path.slice(folder.length + 1),
      mode: mode & 0o100 ? 0o755 : 0o644,
      content: await readFile(path),
    })
  }
  return files.sort((one, other) => (one.path < other.path ? -1 : 1))
}

function readPorts(name: string, text: string | undefined): z.infer<typeof portsFile> {
  try {
    return portsFile.parse(JSON.parse(text ?? ''))
  } catch (error) {
    throw badImage(name, error)
  }
}

function digestOf(files: readonly FolderFile[]): string {
  const hash = createHash('sha256')
  for (const { path, mode, content } of files) hash.update(`${path}\0${mode}\0${content.length}\0`).update(content)
  return hash.digest('hex')
}

function badImage(name: string, cause?: unknown): AppError {
  return new AppError('bad_image', { image: name }, cause)
}
