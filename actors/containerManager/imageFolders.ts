import { open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Engine } from '../engine/engine.ts'
import { inspectImage } from '../engine/imageBuilder.ts'

/** An image that can be requested, with P2PRC's keys (compatibility 2.4). */
export interface ListedImage {
  DockerContainerName: string
  ContainerDescription: string
}

/** Lifetime of the cached list, because anonymous callers may request it and each reading costs megabytes. */
const FRESH_MS = 10_000

/** Longer descriptions are cut off. */
const DESCRIPTION_MAX_BYTES = 4_096

/** Lists the image folders on the disk, whether the images are built or not. */
const noEngine = { hasImage: async () => false } as Pick<Engine, 'hasImage'> as Engine

/** Returns the images in a folder of image folders, sorted by name. Other folders are ignored. */
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
      // An invalid image folder cannot be lent, so it is not listed.
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
