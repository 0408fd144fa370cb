import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine } from '../engine/engine.ts'
import { inspectImage } from '../engine/imageBuilder.ts'

/** One image that can be asked for, with P2PRC's keys (compatibility 2.4). */
export interface ListedImage {
  DockerContainerName: string
  ContainerDescription: string
}

/** How long a reading of the folders is given out again: anonymous callers may ask, and each reading costs megabytes. */
const FRESH_MS = 10_000

/** A longer description is cut. */
const DESCRIPTION_MAX_BYTES = 4_096

/** Only what is on the disk counts here, not what is built. */
const noEngine = { hasImage: async () => false } as Pick<Engine, 'hasImage'> as Engine

/** The images in a folder of image folders, by name. Folders that are no image are passed over. */
export function createImageList(imagesDir: string): () => Promise<ListedImage[]> {
  let reading: Promise<ListedImage[]> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  return () => {
    if (!reading || performance.now() - readAt >= FRESH_MS) {
      readAt = performance.now()
      reading = readImages(imagesDir)
    }
    return reading
  }
}

async function readImages(imagesDir: string): Promise<ListedImage[]> {
  const names = await readdir(imagesDir).catch(() => [])
  const found: ListedImage[] = []
  for (const name of names.sort()) {
    try {
      await inspectImage(noEngine, imagesDir, name)
      const ContainerDescription = await readHead(join(imagesDir, name, 'description.txt'))
      found.push({ DockerContainerName: name, ContainerDescription })
    } catch {
      // It cannot be lent, so it is not shown.
    }
  }
  return found
}

async function readHead(path: string): Promise<string> {
  const file = await open(path)
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(DESCRIPTION_MAX_BYTES), 0, DESCRIPTION_MAX_BYTES, 0)
    return buffer.toString('utf8', 0, bytesRead).trim()
  } finally {
    await file.close()
  }
}
