import { dhtMachine } from '../../../machines/relay/dht.ts'
import { lentDhtMachine } from '../../../machines/relay/lentDht.ts'
import { relayMachine } from '../../../machines/relay.ts'
import { passed, samplesOf } from '../../support/playTable.ts'
import { nodeIdOf, owner } from './common.ts'

export const dhtSamples = samplesOf(dhtMachine, {
  isPrivate: true,
  events: {
    'process.ready': { type: 'process.ready', port: 8_088 },
    'process.missing': { type: 'process.missing', why: 'it is not installed' },
    'process.ended': { type: 'process.ended', why: 'it ended with 1' },
    'after startTimeout': passed('startTimeout', 'dht.alive.starting'),
    'after backoff': passed('backoff', 'dht.waiting'),
  },
  situations: {
    starting: [],
    running: ['process.ready'],
    waiting: ['process.ended'],
    'starting again': ['process.ended', 'after backoff'],
    'running again': ['process.ended', 'after backoff', 'process.ready'],
    missing: ['process.missing'],
  },
})

export const lentDhtSamples = samplesOf(lentDhtMachine, {
  isPrivate: true,
  input: { signal: new AbortController().signal },
  events: {
    'lentDht.open': { type: 'lentDht.open', requestId: 'r1', host: '203.0.113.1' },
    'dht.started': { type: 'dht.started', port: 8_088 },
    'dht.stopped': { type: 'dht.stopped', why: 'it ended with 1' },
    'dht.missing': { type: 'dht.missing', why: 'it is not installed' },
    'after idle, starting': passed('idle', 'lentDht.open.starting'),
    'after idle, running': passed('idle', 'lentDht.open.running'),
  },
  situations: {
    closed: [],
    starting: ['lentDht.open'],
    running: ['lentDht.open', 'dht.started'],
    'starting again': ['lentDht.open', 'dht.started', 'dht.stopped'],
    missing: ['lentDht.open', 'dht.missing'],
  },
})

const [own, alice] = [nodeIdOf('o'), nodeIdOf('a')]
const rights = { trusted: new Set([own]), open: false, relay: 'peers' } as const
const input = { ...rights, id: own, host: '203.0.113.1', signal: new AbortController().signal }
const loggedIn = (loginId: string, client: typeof alice | 'anonymous') =>
  ({
    type: 'server.loggedIn',
    login: { loginId, runId: 'abc', poolCount: 1, client, from: '192.0.2.1' },
  }) as const
const web = { name: 'web', protocol: 'tcp', port: 20_000 } as const
const measured = {
  ...web,
  domains: ['shop.example.org'],
  client: alice,
  from: '192.0.2.1',
  since: 1,
  connections: 1,
  bytes: 2,
}

export const relaySamples = samplesOf(relayMachine, {
  input,
  events: {
    'login of alice': loggedIn('1', alice),
    'login of frpc': loggedIn('2', 'anonymous'),
    'server.refused': { type: 'server.refused', client: 'anonymous', from: '192.0.2.2', why: 'wrong token' },
    'measured for a list': {
      type: 'server.measured',
      dhtClients: [],
      requestId: 'l',
      reply: 'relay.listed',
      ports: [measured],
    },
    'measured for a close': {
      type: 'server.measured',
      dhtClients: [],
      requestId: 'c',
      reply: 'relay.closed',
      ports: [measured],
    },
    'login.lent': { type: 'login.lent', loginId: '1', port: web },
    'login.freed': { type: 'login.freed', loginId: '1', port: web, why: 'the client gave it back' },
    'login.lent of nobody': { type: 'login.lent', loginId: '9', port: web },
    'login.freed of nobody': { type: 'login.freed', loginId: '9', port: web, why: 'the client gave it back' },
    'end of alice': { type: 'login.ended', loginId: '1', why: 'closed' },
    'end of frpc': { type: 'login.ended', loginId: '2', why: 'closed' },
    'end of nobody': { type: 'login.ended', loginId: '9', why: 'closed' },
    'relay.list': owner('relay.list', 'l'),
    'relay.close 20000': { ...owner('relay.close', 'c'), which: '20000' },
    'relay.close alice': { ...owner('relay.close', 'c'), which: alice },
    'relay.close an address': { ...owner('relay.close', 'c'), which: '192.0.2.1' },
    'server.dhtClients': { type: 'server.dhtClients', clients: [alice] },
    'relay.openDht': { ...owner('relay.openDht', 'd'), caller: alice },
    'lentDht.opened': { type: 'lentDht.opened', requestId: 'd', host: '203.0.113.1', port: 8_088 },
    'lentDht.failed': { type: 'lentDht.failed', requestId: 'd', failure: { code: 'no_relay', message: 'no' } },
    'lentDht.changed': { type: 'lentDht.changed', state: 'running', port: 8_088 },
    'table.selfAddressesChanged': { type: 'table.selfAddressesChanged', endpoints: [], port: 8_088 },
    'client.forgiven': { type: 'client.forgiven', holder: alice },
    'trust.changed': { type: 'trust.changed', trusted: [] },
  },
  situations: {
    idle: [],
    'with alice': ['login of alice'],
    'with a port of alice': ['login of alice', 'login.lent'],
    'with frpc': ['login of frpc'],
    'with both': ['login of alice', 'login.lent', 'login of frpc'],
    'with alice, whom the owner has closed': ['login of alice', 'relay.close alice'],
    'with alice, trusted ones only': { input: { ...input, relay: 'trusted' }, after: ['login of alice'] },
    'with streams of alice': ['server.dhtClients'],
    'with streams of alice, trusted ones only': {
      input: { ...input, relay: 'trusted' },
      after: ['server.dhtClients'],
    },
    'without an address': { input: { ...input, host: undefined }, after: [] },
    open: { input: { ...input, open: true }, after: [] },
  },
})
