import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { brokenBy, type Subject } from '../../actors/doctor/check.ts'
import { clockResult } from '../../actors/doctor/clockCheck.ts'
import { checkDisk, checkImage } from '../../actors/doctor/machineChecks.ts'
import { checkPeer, routerResult, rungResults } from '../../actors/doctor/peerChecks.ts'
import { holderOf } from '../../actors/doctor/portChecks.ts'
import { checkFirewall, checkPunching, checkRelay, checkRouter } from '../../actors/doctor/reachChecks.ts'
import { shipped } from '../../actors/homePaths.ts'
import { AppError, fromFailure } from '../../protocol/errors.ts'
import { directEndpoint, type Endpoint, parseEndpoint } from '../../protocol/net/endpoint.ts'
import type { DialledEndpoint, Reach } from '../../protocol/reachability.ts'
import type { Mapping } from '../../protocol/turnClient.ts'
import { nodeIdOf } from '../machines/samples/common.ts'

const own = directEndpoint({ host: '192.168.1.2', port: 8_088 })
const outside = directEndpoint({ host: '203.0.113.9', port: 8_088 })
const by = [nodeIdOf('a')]
const why = new AppError('timed_out', { where: '203.0.113.9:8088', ms: 1 }).toJSON()
const dialled = (endpoint: Endpoint, state: DialledEndpoint['state']): DialledEndpoint => ({
  ...{ endpoint, state, since: 7, by },
  ...(state === 'unreachable' && { why }),
})
const refused = { state: 'refused', since: 8, why: new AppError('router_refused').toJSON() } as const
const open: Mapping = { port: 8_088, protocol: 'tcp', state: 'open', since: 9, address: outside }
const waiting: Mapping = { ...open, state: 'waiting', why: new AppError('no_relay', { why: 'none is known' }).toJSON() }

function subjectOf(reach: Partial<Reach>, rest: Partial<Subject> = {}): Subject {
  return {
    ...{ listening: { host: 'localhost', port: 8_088 }, ownAddresses: [own.host], punched: undefined },
    ...{ reach: { state: 'unknown', endpoints: [], mapping: { state: 'unneeded', since: 0 }, ...reach } },
    ...{ relayed: undefined, isPunchingInstalled: true },
    ...rest,
  } as Subject
}

test('each rung of this node: what was proved and when, and what is broken only where nothing else works', () => {
  const unreached: Reach = { state: 'unreachable', endpoints: [dialled(outside, 'unreachable')], mapping: refused }
  const rows: [string, (subject: Subject) => object, Subject, object][] = [
    ['no node runs', checkFirewall, subjectOf({}, { listening: { host: '', port: 0 } }), { state: 'unknown' }],
    ['nobody has tried', checkFirewall, subjectOf({}), { state: 'unknown' }],
    [
      'peers reach it',
      checkFirewall,
      subjectOf({ endpoints: [dialled(outside, 'reachable')] }),
      { state: 'ok', what: 'One peer reached this node at 203.0.113.9:8088', at: 7 },
    ],
    [
      'a firewall of this machine',
      checkFirewall,
      subjectOf({ endpoints: [dialled(own, 'unreachable')] }),
      { state: 'broken', remedy: 'Open TCP port 8088 in the firewall of this machine.' },
    ],
    [
      'a firewall, and a relay works',
      checkFirewall,
      subjectOf({ endpoints: [dialled(own, 'unreachable')] }, { relayed: open }),
      { state: 'unneeded' },
    ],
    ['the address is of a router', checkFirewall, subjectOf(unreached), { state: 'unneeded' }],
    [
      'the router maps',
      checkRouter,
      subjectOf({
        endpoints: [dialled({ ...outside, kind: 'mapped' }, 'reachable')],
        mapping: { state: 'confirmed', since: 6, by: 'UPnP' },
      }),
      { state: 'ok', what: 'The router maps mapped://203.0.113.9:8088 to this node, by UPnP', at: 6 },
    ],
    [
      'the router refuses, and nothing else works',
      checkRouter,
      subjectOf(unreached),
      {
        state: 'broken',
        what: 'No router maps a port to this machine',
        remedy: 'Allow UPnP or NAT-PMP in the settings of the router, or forward the port there by hand.',
      },
    ],
    [
      'the router refuses, and a relay works',
      checkRouter,
      subjectOf(unreached, { relayed: open }),
      { state: 'unneeded' },
    ],
    ['no router is needed', checkRouter, subjectOf({ state: 'reachable' }), { state: 'unneeded' }],
    ['no relay is needed', checkRelay, subjectOf({ state: 'reachable' }), { state: 'unneeded' }],
    ['no relay is known to be needed', checkRelay, subjectOf({}), { state: 'unknown' }],
    [
      'a relay works',
      checkRelay,
      subjectOf(unreached, { relayed: open }),
      { state: 'ok', what: 'A relay passes connections on from 203.0.113.9:8088', at: 9 },
    ],
    [
      'no relay lends a port',
      checkRelay,
      subjectOf(unreached, { relayed: waiting }),
      { state: 'broken', what: 'No relay lends a port to this node: none is known' },
    ],
    ['at login', checkRelay, subjectOf(unreached, { relayed: { ...open, state: 'connecting' } }), { state: 'unknown' }],
    [
      'behind a router, without hyperdht',
      checkPunching,
      subjectOf(unreached, { isPunchingInstalled: false }),
      {
        state: 'unneeded',
        what: 'hyperdht is not installed, so peers behind routers use a relay; a router translates the address of this machine to 203.0.113.9',
      },
    ],
    [
      'punched',
      checkPunching,
      subjectOf(unreached, { punched: parseEndpoint('punched://203.0.113.3:8090') }),
      { state: 'ok' },
    ],
  ]
  for (const [name, check, subject, expected] of rows) {
    const result = check(subject)
    assert.deepEqual({ ...result, ...expected }, result, name)
  }
})

test('the ways to a peer: one that fails is no broken link while another one works', () => {
  const relayed = parseEndpoint('relayed://203.0.113.4:20000') as Endpoint
  const error = new AppError('unreachable', { where: '203.0.113.9:8088', why: 'refused' })
  const statesOf = (dials: Parameters<typeof rungResults>[0]) =>
    rungResults(dials, 'anna').map(({ check, state }) => `${check}: ${state}`)
  const failed = { endpoint: outside, error }
  assert.deepEqual(statesOf([{ endpoint: relayed, ms: 4.2 }, failed]), [
    'to anna, direct IPv4: unneeded',
    'to anna, relayed: ok',
  ])
  assert.deepEqual(rungResults([failed], 'anna'), [
    {
      check: 'to anna, direct IPv4',
      state: 'broken',
      what: '203.0.113.9:8088 cannot be reached: refused',
      remedy: 'Is the node running there (`p2prc start`), and is the port open?',
    },
  ])
  assert.deepEqual(statesOf([failed, { endpoint: directEndpoint({ host: '203.0.113.8', port: 1 }), ms: 1 }]), [
    'to anna, direct IPv4: ok',
  ])
})

test('the clock: the median of the peers counts', () => {
  const rows: [number[], string, RegExp][] = [
    [[], 'unknown', /No peer could be asked/],
    [[900], 'ok', /agrees with that of a peer/],
    [[-500, 3_600_000, 400], 'ok', /agrees with those of 3 peers/],
    [[-3_600_000, -3_599_000], 'broken', /3600 s behind those of 2 peers/],
    [[45_000], 'broken', /45 s ahead of that of a peer/],
  ]
  for (const [skews, state, what] of rows) {
    const result = clockResult(skews)
    assert.equal(result.state, state, String(skews))
    assert.match(result.what, what)
  }
})

test('an error is a sentence of what happened and one of what to do, also after a way over the bus', () => {
  const error = new AppError('no_relay', { why: 'none is known' })
  const expected = {
    state: 'broken',
    what: 'No relay lends a port to this node: none is known',
    remedy: 'See `p2prc ls` for other machines; a public node relays unless its owner has turned it off.',
  }
  assert.deepEqual(brokenBy(error), expected)
  assert.deepEqual(brokenBy(fromFailure(error.toJSON())), expected)
})

test('who holds a port', { skip: process.platform !== 'linux' && 'only Linux tells' }, async (t) => {
  const server = createServer().listen(0, '127.0.0.1')
  t.after(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as { port: number }
  assert.match((await holderOf(port)) ?? '', new RegExp(`^process ${process.pid} \\(\\S.*\\)$`))
  server.close()
  await new Promise((resolve) => server.once('close', resolve))
  assert.equal(await holderOf(port), undefined)
})

test('which router is on the side of a peer', () => {
  const endpointsOf = (...texts: string[]) => texts.map((text) => parseEndpoint(text) as Endpoint)
  const rows: [string[], string, RegExp][] = [
    [['192.168.1.2:8088', '203.0.113.1:8088'], 'ok', /^No router/],
    [['192.168.1.2:8088', 'mapped://203.0.113.1:9000', 'relayed://203.0.113.2:20000'], 'ok', /a port that it maps$/],
    [['192.168.1.2:8088', 'relayed://203.0.113.2:20000'], 'ok', /passes nothing on/],
    [['192.168.1.2:8088'], 'unknown', /its own network/],
  ]
  for (const [texts, state, what] of rows) {
    const result = routerResult(endpointsOf(...texts))
    assert.equal(result.state, state, texts.join())
    assert.match(result.what, what)
  }
})

test('a machine that is named by one address is examined at its others too', async () => {
  const other = directEndpoint({ host: '203.0.113.8', port: 8_088 })
  const id = nodeIdOf('a')
  const dialledEndpoints: Endpoint[] = []
  const results = await checkPeer('203.0.113.9', {
    ...subjectOf({}, { listening: { host: '', port: 0 } }),
    peers: [{ id, endpoints: [outside, other] }],
    resolve: async (where: string) => (where === id ? { id, endpoints: [outside, other] } : { endpoints: [outside] }),
    dialer: {
      async dial({ endpoints: [endpoint] }: { endpoints: Endpoint[] }) {
        dialledEndpoints.push(endpoint as Endpoint)
        throw new AppError('unreachable', { where: 'there', why: 'no' })
      },
    },
  } as unknown as Subject)
  assert.deepEqual(dialledEndpoints, [outside, other])
  assert.deepEqual(
    results.map(({ check, state }) => `${check}: ${state}`),
    ['to 203.0.113.9, direct IPv4: broken', 'from 203.0.113.9: unknown', 'router of 203.0.113.9: ok'],
  )
})

test('the disk and the image', async (t) => {
  const homeDir = await mkdtemp(join(tmpdir(), 'p2prc-doctor-'))
  t.after(() => rm(homeDir, { recursive: true }))
  const engine = { local: false, version: async () => '1', hasImage: async () => false }
  const subject = { ...subjectOf({}), homeDir, imagesDir: shipped.images, engine } as unknown as Subject
  assert.match((await checkDisk(subject)).what, /can be written and has \d+ MiB free$/)
  assert.deepEqual(await readdir(homeDir), [])
  const gone = await checkDisk({ ...subject, homeDir: join(homeDir, 'gone') })
  assert.deepEqual([gone.state, gone.remedy], ['broken', 'Make it writable.'])
  const missing = await checkImage(subject)
  assert.deepEqual([missing.state, missing.remedy], ['broken', 'Run `p2prc image build` and read its output.'])
  const built = await checkImage({
    ...subject,
    engine: { ...engine, hasImage: async () => true },
  } as unknown as Subject)
  assert.match(built.what, /^The image for lent containers is built: p2prc\/ssh:/)
})
