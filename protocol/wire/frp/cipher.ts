import { createCipheriv, createDecipheriv, createHash, pbkdf2Sync, randomBytes } from 'node:crypto'

// frp encrypts the control connection after the login, each direction on its own, and work connections where a proxy
// asks for it: AES-128 in CFB mode, one continuous stream behind an initialization vector in clear. It protects against
// nobody who changes bytes; TLS below it does.

const KEY_BYTES = 16
const IV_BYTES = 16
/** frp's salt and iterations. Its library has another salt, `crypto`, which both of its programs replace. */
const SALT = 'frp'
const ITERATIONS = 64

/** Turns clear bytes into encrypted ones, or back. The state carries on from call to call. */
export type Transform = (bytes: Uint8Array) => Uint8Array

/** Returns the key that both ends derive from the token, which may be empty. */
export function frpKey(token: string): Uint8Array {
  return pbkdf2Sync(token, SALT, ITERATIONS, KEY_BYTES, 'sha1')
}

/** Returns the proof of the token in a login. `timestamp` is in seconds. */
export function privilegeKey(token: string, timestamp: number): string {
  return createHash('md5').update(`${token}${timestamp}`).digest('hex')
}

/** Encrypts one direction. The initialization vector precedes the first bytes. */
export function createFrpEncrypter(key: Uint8Array, iv: Uint8Array = randomBytes(IV_BYTES)): Transform {
  const cipher = createCipheriv('aes-128-cfb', key, iv)
  let isFirst = true
  return (bytes) => {
    const encrypted = cipher.update(bytes)
    if (!isFirst) return encrypted
    isFirst = false
    return Buffer.concat([iv, encrypted])
  }
}

/** Decrypts one direction, and takes the initialization vector from its first bytes, however they are cut. */
export function createFrpDecrypter(key: Uint8Array): Transform {
  let iv: Uint8Array = Buffer.alloc(0)
  let decipher: ReturnType<typeof createDecipheriv> | undefined
  return (bytes) => {
    if (decipher) return decipher.update(bytes)
    iv = Buffer.concat([iv, bytes])
    if (iv.length < IV_BYTES) return Buffer.alloc(0)
    decipher = createDecipheriv('aes-128-cfb', key, iv.subarray(0, IV_BYTES))
    return decipher.update(iv.subarray(IV_BYTES))
  }
}
