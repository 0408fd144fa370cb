import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { reason } from '../actors/home/fileErrors.ts'
import { AppError } from '../protocol/errors.ts'

/** Reads `--key FILE` for `loan.take`: the public key, and the path of the private key for ssh. */
export async function userKey(file: string | undefined): Promise<{ key?: string; keyFile?: string }> {
  if (file === undefined) return {}
  const path = resolve(file)
  const privatePath = path.endsWith('.pub') ? path.slice(0, -'.pub'.length) : path
  const publicPath = path.endsWith('.pub') || !existsSync(`${path}.pub`) ? path : `${path}.pub`
  const key = await keyIn(publicPath)
  return { key, ...(privatePath !== publicPath && existsSync(privatePath) && { keyFile: privatePath }) }
}

/** A public key given as words, or as one word: the path of a file, since a key is never one word. */
export async function keyLine(words: readonly string[]): Promise<string> {
  const line = words.join(' ')
  return words.length === 1 && (existsSync(line) || !/\s/.test(line.trim())) ? keyIn(line) : line
}

async function keyIn(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error) => {
    throw new AppError('bad_key', { why: `${path} cannot be read: ${reason(error).why}` }, error)
  })
  // The content of a file that was named by mistake must not leave this machine.
  if (text.includes('PRIVATE KEY')) throw new AppError('bad_key', { why: `${path} is a private key` })
  return text.trim().split('\n')[0] as string
}
