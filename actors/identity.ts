import { chmod, readFile } from 'node:fs/promises'
import { AppError } from '../protocol/errors.ts'
import type { NodeId } from '../protocol/ids.ts'
import { createOnce } from './home/atomicFile.ts'
import { homeUnusable } from './home/fileErrors.ts'
import { makeCertificate, plainName } from './identity/certificate.ts'
import { makeSshKeyPair, readSshPrivateKey } from './identity/sshKey.ts'
import { ed25519Line, parsePublicKey } from './identity/sshPublicKey.ts'

export { makeSshKeyPair } from './identity/sshKey.ts'
export { keyLimits, parsePublicKey, weakRsaBits } from './identity/sshPublicKey.ts'

/** The identity of this node: one Ed25519 key, in the forms that OpenSSH and TLS need. */
export interface Identity {
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  id: NodeId
  /** The name that the node gives itself. Names are not unique and prove nothing. */
  name: string
  /** `ssh-ed25519 AAAA… name`, for `authorized_keys` and `p2prc trust add`. */
  publicKey: string
  /** Path of the private key, which `ssh -i` accepts. */
  keyPath: string
  /** PEM texts. The certificate is made from the key and the name at each start. */
  tls: { key: string; cert: string }
}

/**
 * Loads the identity from its two files. Makes the pair if there is none, and never replaces an existing file. Throws
 * `bad_identity` if the private key cannot be used, and `home_unusable` or `disk_failed` if the folder cannot.
 */
export async function loadIdentity(paths: { key: string; publicKey: string }, name: string): Promise<Identity> {
  let pem = await readText(paths.key)
  if (pem === undefined) {
    await createOnce(paths.key, makeSshKeyPair(name).privateKey)
    pem = (await readText(paths.key)) ?? ''
  }
  const { privateKey, point } = readKey(paths.key, pem)
  const line = ed25519Line(point)
  const comment = plainName(name)
  const publicKey = comment ? `${line} ${comment}` : line
  if ((await readText(paths.publicKey)) === undefined) await createOnce(paths.publicKey, `${publicKey}\n`)
  // OpenSSH refuses a private key that others may read, which happens if a folder was copied without its modes.
  await chmod(paths.key, 0o600).catch(() => {})
  return {
    id: parsePublicKey(line).fingerprint as NodeId,
    name,
    publicKey,
    keyPath: paths.key,
    tls: {
      key: privateKey.export({ format: 'pem', type: 'pkcs8' }).toString(),
      cert: makeCertificate(privateKey, name),
    },
  }
}

function readKey(path: string, pem: string): ReturnType<typeof readSshPrivateKey> {
  try {
    return readSshPrivateKey(pem)
  } catch (error) {
    throw new AppError('bad_identity', { path, why: (error as Error).message }, error)
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw homeUnusable(path, error)
  }
}
