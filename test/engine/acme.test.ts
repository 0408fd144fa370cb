import assert from 'node:assert/strict'
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { connect } from 'node:tls'
import * as acme from 'acme-client'
import { createAcmeOrders } from '../../actors/relay/acmeOrders.ts'
import { createDomainCertificates } from '../../actors/relay/domainCertificates.ts'
import { openDomainProxy } from '../../actors/relay/domainProxy.ts'
import type { CertificateEmits } from '../../machines/relay/certificate.ts'
import { until } from '../support/lender.ts'

const folder = mkdtempSync(join(tmpdir(), 'p2prc-acme-'))
const children: ChildProcess[] = []
after(() => {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})

/** Debian's test authority and the DNS server that comes with it. */
const isPebbleHere = ['pebble', 'pebble-challtestsrv'].every((name) => !spawnSync(name, ['-h']).error)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  await once(server, 'close')
  return port
}

const names = { portOf: (name: string) => (name.endsWith('.example.org') ? 1 : null) }

function orders(directoryUrl: string, looksFirst: boolean) {
  const facts: CertificateEmits[] = []
  const certificates = createDomainCertificates(join(folder, 'domains'))
  const options = { folder, email: 'owner@example.org', certificates, directoryUrl, looksFirst }
  return { facts, certificates, orders: createAcmeOrders({ ...options, onChange: (fact) => facts.push(fact) }) }
}

async function issuerOf(servername: string, port: number): Promise<string | undefined> {
  const socket = connect({ host: '127.0.0.1', port, servername, rejectUnauthorized: false })
  await once(socket, 'secureConnect')
  const issuer = socket.getPeerX509Certificate()?.issuer
  socket.destroy()
  return issuer
}

test('an authority that cannot be reached is named, and users get what this node has signed itself meanwhile', async () => {
  const { facts, certificates, orders: ordering } = orders(`http://127.0.0.1:${await freePort()}/dir`, true)
  const proxy = await openDomainProxy({ names, certificates, port: 0, host: '127.0.0.1' })
  ordering.follow('first.example.org')
  ordering.follow('first.example.org')
  await until(async () => facts.length > 0)
  assert.equal(facts.length, 1)
  assert.equal(facts[0]?.type, 'certificate.failed')
  assert.match(JSON.stringify(facts[0]), /127\.0\.0\.1:\d+ does not answer/)
  assert.equal(await issuerOf('first.example.org', proxy.port), 'CN=first.example.org')
  ordering.stop()
  await proxy.close()
})

test('pebble issues a certificate over the port of the proxy alone, and refuses one for a name that leads elsewhere', async (t) => {
  if (!isPebbleHere) return void t.diagnostic('pebble is not on the PATH, so that no authority has issued anything')
  const [directory, management, dns, dnsManagement] = await Promise.all(Array.from({ length: 4 }, freePort))
  const { facts, certificates, orders: ordering } = orders(`https://127.0.0.1:${directory}/dir`, false)
  const proxy = await openDomainProxy({
    names,
    certificates,
    challengeOf: (name) => ordering.challengeOf(name),
    port: 0,
    host: '127.0.0.1',
  })
  // The authority's own HTTPS; pebble takes the key and the certificate from one file.
  const own = createDomainCertificates(join(folder, 'pebble'))
  await own.contextOf('pebble.example.org')
  const pem = join(folder, 'pebble', 'pebble.example.org.pem')
  acme.axios.defaults.httpsAgent = new Agent({ rejectUnauthorized: false })
  const config = join(folder, 'pebble.json')
  writeFileSync(
    config,
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${directory}`,
        managementListenAddress: `127.0.0.1:${management}`,
        certificate: pem,
        privateKey: pem,
        httpPort: 1,
        tlsPort: proxy.port,
      },
    }),
  )
  const dnsArguments = ['-dns01', `127.0.0.1:${dns}`, '-management', `127.0.0.1:${dnsManagement}`, '-defaultIPv6', '']
  children.push(
    spawn('pebble-challtestsrv', [...dnsArguments, '-http01', '', '-https01', '', '-tlsalpn01', '']),
    spawn('pebble', ['-config', config, '-dnsserver', `127.0.0.1:${dns}`], {
      env: { ...process.env, PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0' },
      stdio: 'ignore',
    }),
  )
  await until(async () => {
    const client = new acme.Client({ directoryUrl: `https://127.0.0.1:${directory}/dir`, accountKey: '' })
    return client.getTermsOfServiceUrl().then(
      () => true,
      () => false,
    )
  })
  ordering.follow('shop.example.org')
  await until(async () => facts.length > 0)
  assert.deepEqual(facts, [{ type: 'certificate.issued', name: 'shop.example.org' }])
  assert.match((await issuerOf('shop.example.org', proxy.port)) ?? '', /Pebble/)
  assert.ok((await certificates.issuedUntil('shop.example.org')) ?? 0 > Date.now())
  assert.equal(ordering.challengeOf('shop.example.org'), undefined, 'nothing is left of the proof')

  // After a restart it is there, and nothing is ordered.
  const again = orders(`https://127.0.0.1:${directory}/dir`, false)
  again.orders.follow('shop.example.org')
  const restarted = await openDomainProxy({ names, certificates: again.certificates, port: 0, host: '127.0.0.1' })
  assert.match((await issuerOf('shop.example.org', restarted.port)) ?? '', /Pebble/)
  assert.deepEqual(again.facts, [])

  // The name leads to an address where no proof is.
  await fetch(`http://127.0.0.1:${dnsManagement}/add-a`, {
    method: 'POST',
    body: JSON.stringify({ host: 'away.example.org.', addresses: ['127.0.0.9'] }),
  })
  ordering.follow('away.example.org')
  await until(async () => facts.length > 1)
  assert.equal(facts[1]?.type, 'certificate.failed')
  assert.equal(facts[1]?.name, 'away.example.org')
  ordering.stop()
  again.orders.stop()
  await Promise.all([proxy.close(), restarted.close()])
})
