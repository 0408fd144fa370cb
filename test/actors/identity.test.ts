import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import ssh2 from 'ssh2'
import { makeCertificate, readCertificate } from '../../actors/identity/certificate.ts'
import { readSshPrivateKey } from '../../actors/identity/sshKey.ts'
import { loadIdentity, makeSshKeyPair, parsePublicKey } from '../../actors/identity.ts'

const run = promisify(execFile)
const home = await mkdtemp(join(tmpdir(), 'p2prc-identity-'))
after(() => rm(home, { recursive: true, force: true }))

let count = 0
async function folder(): Promise<{ key: string; publicKey: string; dir: string }> {
  count += 1
  const dir = join(home, `home${count}`)
  return { dir, key: join(dir, 'id_ed25519'), publicKey: join(dir, 'id_ed25519.pub') }
}

test('the first start makes a pair that only its owner can read; later starts give the same identity', async () => {
  const paths = await folder()
  const first = await loadIdentity(paths, 'alice')
  const bytes = await readFile(paths.key)
  assert.equal((await stat(paths.key)).mode & 0o777, 0o600)
  assert.equal((await stat(paths.dir)).mode & 0o777, 0o700)
  assert.deepEqual((await readdir(paths.dir)).sort(), ['id_ed25519', 'id_ed25519.pub'])
  assert.deepEqual(await loadIdentity(paths, 'alice'), first)
  assert.deepEqual(await readFile(paths.key), bytes)
  assert.equal(await readFile(paths.publicKey, 'utf8'), `${first.publicKey}\n`)
  assert.match(first.publicKey, /^ssh-ed25519 AAAA\S+ alice$/)
})

test('two first starts at the same moment agree on one key', async () => {
  const paths = await folder()
  const all = await Promise.all(Array.from({ length: 8 }, () => loadIdentity(paths, 'alice')))
  assert.equal(new Set(all.map(({ id }) => id)).size, 1)
  assert.deepEqual((await readdir(paths.dir)).sort(), ['id_ed25519', 'id_ed25519.pub'])
})

test('ssh-keygen agrees on the fingerprint and the public key', async () => {
  const paths = await folder()
  const { id, publicKey } = await loadIdentity(paths, 'alice')
  for (const file of [paths.key, paths.publicKey]) {
    const { stdout } = await run('ssh-keygen', ['-lf', file])
    assert.equal(stdout.split(' ')[1], id)
  }
  const { stdout } = await run('ssh-keygen', ['-y', '-f', paths.key])
  assert.equal(stdout.trim(), publicKey)
  assert.equal(parsePublicKey(publicKey).fingerprint, id)
})

test('ssh -i logs in with it', async () => {
  const paths = await folder()
  const { publicKey } = await loadIdentity(paths, 'alice')
  const expected = Buffer.from(publicKey.split(' ')[1] ?? '', 'base64')
  const host = makeSshKeyPair('host')
  const server = new ssh2.Server({ hostKeys: [host.privateKey] }, (client) => {
    client.on('error', () => {})
    client.on('authentication', (context) => {
      if (context.method !== 'publickey' || !context.key.data.equals(expected)) return context.reject(['publickey'])
      if (!context.signature || !context.blob) return context.accept()
      const parsed = ssh2.utils.parseKey(publicKey)
      if (parsed instanceof Error || !parsed.verify(context.blob, context.signature)) return context.reject()
      context.accept()
    })
    client.on('session', (accept) => {
      accept().on('exec', (acceptExec) => {
        const stream = acceptExec()
        stream.write('welcome')
        stream.exit(0)
        stream.end()
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = (server as unknown as Server).address() as AddressInfo
    const known = join(paths.dir, 'known_hosts')
    await writeFile(known, `[127.0.0.1]:${port} ${parsePublicKey(host.publicKey).key}\n`)
    const options = ['BatchMode=yes', 'IdentitiesOnly=yes', 'IdentityAgent=none', `UserKnownHostsFile=${known}`]
    const args = ['-F', 'none', '-i', paths.key, '-p', String(port), ...options.flatMap((option) => ['-o', option])]
    assert.equal((await run('ssh', [...args, 'root@127.0.0.1', 'true'])).stdout, 'welcome')
  } finally {
    server.close()
  }
})

test('a key that ssh-keygen made is taken as it is', async () => {
  const paths = await folder()
  await loadIdentity(paths, 'alice')
  await rm(paths.key)
  await rm(paths.publicKey)
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'by hand', '-f', paths.key])
  const { stdout } = await run('ssh-keygen', ['-lf', paths.key])
  assert.equal((await loadIdentity(paths, 'alice')).id, stdout.split(' ')[1])
  assert.equal(readSshPrivateKey(await readFile(paths.key, 'utf8')).comment, 'by hand')
})

test('a key file that cannot be used is a clear error and stays as it is', async () => {
  const paths = await folder()
  await loadIdentity(paths, 'alice')
  const whole = await readFile(paths.key, 'utf8')
  const locked = join(paths.dir, 'locked')
  await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'passphrase', '-f', locked])
  const rsa = join(paths.dir, 'rsa')
  await run('ssh-keygen', ['-q', '-t', 'rsa', '-b', '2048', '-N', '', '-f', rsa])
  const mixed = Buffer.from(whole.split('\n').slice(1, -2).join(''), 'base64')
  mixed.writeUInt8(mixed.readUInt8(mixed.length - 60) ^ 1, mixed.length - 60)
  const damaged = `-----BEGIN OPENSSH PRIVATE KEY-----\n${mixed.toString('base64')}\n-----END OPENSSH PRIVATE KEY-----\n`
  const cases: [string, RegExp][] = [
    ['', /not an OpenSSH private key/],
    ['null', /not an OpenSSH private key/],
    [whole.slice(0, 120), /not an OpenSSH private key/],
    [whole.replace(/\n.+\n(?=-----END)/, '\n'), /./],
    [damaged, /./],
    [await readFile(locked, 'utf8'), /passphrase/],
    [await readFile(rsa, 'utf8'), /not an Ed25519 key/],
  ]
  for (const [content, why] of cases) {
    await writeFile(paths.key, content)
    await assert.rejects(loadIdentity(paths, 'alice'), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'bad_identity')
      assert.match(error.message, why)
      assert.ok(error.message.includes(paths.key))
      return true
    })
    assert.equal(await readFile(paths.key, 'utf8'), content)
  }
})

test('a folder that cannot be made is a clear error', async () => {
  const file = join(home, 'file')
  await writeFile(file, '')
  const paths = { key: join(file, 'id_ed25519'), publicKey: join(file, 'id_ed25519.pub') }
  await assert.rejects(loadIdentity(paths, 'alice'), { code: 'home_unusable' })
})

test('the certificate carries the key and the name, signed by the key itself, and is the same at each start', () => {
  for (const name of ['alice', '', 'x'.repeat(300), '"; touch X; "', 'ä\u001b[31m\nb']) {
    const { privateKey, point } = readSshPrivateKey(makeSshKeyPair(name).privateKey)
    const pem = makeCertificate(privateKey, name)
    const certificate = new X509Certificate(pem)
    assert.ok(certificate.verify(createPublicKey(privateKey)))
    assert.ok(new Date(certificate.validFrom) < new Date() && new Date(certificate.validTo) > new Date())
    const read = readCertificate(certificate)
    assert.deepEqual(read?.point, point)
    assert.match(read?.name ?? '?', /^[A-Za-z0-9._-]{0,64}$/)
    if (name === 'alice') assert.equal(read?.name, 'alice')
    assert.equal(makeCertificate(privateKey, name), pem)
  }
})

test('keys of every kind that ssh-keygen makes here are read with its fingerprint', async () => {
  const dir = (await folder()).dir
  await loadIdentity({ key: join(dir, 'x'), publicKey: join(dir, 'x.pub') }, 'x')
  const kinds = [
    ['ed25519', '256'],
    ['ecdsa', '256'],
    ['ecdsa', '384'],
    ['ecdsa', '521'],
    ['rsa', '2048'],
  ] as const
  for (const [type, bits] of kinds) {
    const file = join(dir, `${type}${bits}`)
    await run('ssh-keygen', ['-q', '-t', type, '-b', bits, '-N', '', '-C', 'a b  c', '-f', file])
    const line = await readFile(`${file}.pub`, 'utf8')
    const { stdout } = await run('ssh-keygen', ['-lf', file])
    const key = parsePublicKey(line)
    assert.equal(key.fingerprint, stdout.split(' ')[1])
    assert.equal(key.comment, 'a b  c')
    assert.equal(`${key.key} a b  c\n`, line)
  }
})

/** SSH wire strings, to build what ssh-keygen would not. */
function wire(...parts: (string | Buffer)[]): string {
  const bytes = parts.flatMap((part) => {
    const content = Buffer.from(part as string)
    const length = Buffer.alloc(4)
    length.writeUInt32BE(content.length)
    return [length, content]
  })
  return Buffer.concat(bytes).toString('base64')
}

const point = Buffer.alloc(32, 7)
const good = wire('ssh-ed25519', point)
const number = (bits: number) => Buffer.concat([Buffer.from([0, 0x80]), Buffer.alloc(bits / 8 - 1, 1)])
const exponent = Buffer.from([1, 0, 1])

test('security keys, and RSA of exactly 2048 bits, are taken', () => {
  const lines = [
    `sk-ssh-ed25519@openssh.com ${wire('sk-ssh-ed25519@openssh.com', point, 'ssh:')}`,
    `sk-ecdsa-sha2-nistp256@openssh.com ${wire(
      'sk-ecdsa-sha2-nistp256@openssh.com',
      'nistp256',
      Buffer.alloc(65, 4),
      'ssh:',
    )} me`,
    `ssh-rsa ${wire('ssh-rsa', exponent, number(2_048))}`,
    `ssh-ed25519 ${good}`,
    `ssh-ed25519 ${good}\r\n`,
  ]
  for (const line of lines) assert.match(parsePublicKey(line).fingerprint, /^SHA256:[A-Za-z0-9+/]{43}$/)
})

const refused: [string, string][] = [
  ['nothing', ''],
  ['a word', 'hello'],
  ['a private key', makeSshKeyPair('x').privateKey],
  ['a shell string', '"; touch X; "'],
  ['options before it', `command="/bin/sh" ssh-ed25519 ${good}`],
  ['restrict before it', `restrict ssh-ed25519 ${good}`],
  ['two lines', `ssh-ed25519 ${good} a\nssh-ed25519 ${good} b`],
  ['a line break in the comment', `ssh-ed25519 ${good} a\rb`],
  ['an escape code in the comment', `ssh-ed25519 ${good} a\u001b[31mb`],
  ['a zero byte', `ssh-ed25519 ${good}\u0000`],
  ['a tab between', `ssh-ed25519\t${good}`],
  ['another type outside than inside', `ssh-rsa ${good}`],
  ['another type inside than outside', `ssh-ed25519 ${wire('ssh-rsa', exponent, number(2_048))}`],
  ['another type inside of the same shape', `ssh-ed25519 ${wire('ssh-ed25518', point)}`],
  ['a type from Object', `constructor ${wire('constructor')}`],
  ['not base64', 'ssh-ed25519 AAAA!!!!'],
  ['base64url', `ssh-ed25519 ${wire('ssh-ed25519', Buffer.alloc(32, 255)).replaceAll('/', '_')}`],
  ['base64 without its padding', `ssh-ed25519 ${wire('ssh-ed25519', point).replace(/=+$/, '').slice(0, -1)}`],
  ['a key cut short', `ssh-ed25519 ${wire('ssh-ed25519', point.subarray(1))}`],
  ['a length that lies', `ssh-ed25519 ${Buffer.from('ffffffff00', 'hex').toString('base64')}`],
  ['something behind the key', `ssh-ed25519 ${wire('ssh-ed25519', point, 'x')}`],
  ['RSA of 1024 bits', `ssh-rsa ${wire('ssh-rsa', exponent, number(1_024))}`],
  ['RSA of 1024 bits blown up with zeros', `ssh-rsa ${wire('ssh-rsa', exponent, Buffer.alloc(257), number(1_024))}`],
  ['RSA of nothing', `ssh-rsa ${wire('ssh-rsa', exponent, Buffer.alloc(300))}`],
  ['DSA', `ssh-dss ${wire('ssh-dss', 'a', 'b', 'c', 'd')}`],
  ['a certificate', `ssh-ed25519-cert-v01@openssh.com ${wire('ssh-ed25519-cert-v01@openssh.com', 'x', point)}`],
  ['another curve', `ecdsa-sha2-nistp256 ${wire('ecdsa-sha2-nistp256', 'nistp384', Buffer.alloc(65, 4))}`],
  ['a compressed point', `ecdsa-sha2-nistp256 ${wire('ecdsa-sha2-nistp256', 'nistp256', Buffer.alloc(33, 2))}`],
]

for (const [what, line] of refused) {
  test(`${what} is not a public key`, () => assert.throws(() => parsePublicKey(line), { code: 'bad_key' }))
}
