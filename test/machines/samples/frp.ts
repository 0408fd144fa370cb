import { loginMachine } from '../../../machines/relay/login.ts'
import { sessionMachine } from '../../../machines/turnClient/session.ts'
import { tunnelMachine } from '../../../machines/turnClient/tunnel.ts'
import { encodeFrp, type FrpMessage, type FrpOutgoing, readFrp } from '../../../protocol/wire/frp/message.ts'
import { passed, samplesOf } from '../../support/playTable.ts'
import { parent } from './common.ts'

/** A message as it is received. */
function messageOf(message: FrpOutgoing): FrpMessage {
  const read = readFrp(encodeFrp(message))
  if (typeof read === 'string') throw new Error(read)
  return read.message
}

const fromRelay = (message: FrpOutgoing) => ({ type: 'relay.received', message: messageOf(message) }) as const
const web = { name: 'web', protocol: 'tcp', remotePort: 0 } as const
const active = ['relay.connected', 'accepted'] as const

export const sessionSamples = samplesOf(sessionMachine, {
  isPrivate: true,
  events: {
    'relay.connected': { type: 'relay.connected' },
    accepted: fromRelay({ kind: 'LoginResp', body: { run_id: 'abc' } }),
    'refused by the relay': fromRelay({ kind: 'LoginResp', body: { error: 'token is wrong' } }),
    'answer for web': fromRelay({ kind: 'NewProxyResp', body: { proxy_name: 'web', remote_addr: ':7000' } }),
    'answer for another': fromRelay({ kind: 'NewProxyResp', body: { proxy_name: 'toString', error: 'no' } }),
    pong: fromRelay({ kind: 'Pong', body: {} }),
    'relay.lost': { type: 'relay.lost', why: 'reset' },
    'tunnel.open web': { type: 'tunnel.open', tunnel: web },
    'tunnel.close web': { type: 'tunnel.close', name: 'web' },
    'tunnel.close another': { type: 'tunnel.close', name: 'ssh' },
    'tunnel.requesting': { type: 'tunnel.requesting', tunnel: web },
    'tunnel.opened': { type: 'tunnel.opened', name: 'web', remotePort: 7_000, domainPort: 0 },
    'tunnel.refused': { type: 'tunnel.refused', name: 'web', why: 'no' },
    'after loginTimeout, connecting': passed('loginTimeout', 'session.connected.connecting'),
    'after loginTimeout, logging in': passed('loginTimeout', 'session.connected.loggingIn'),
    'after backoff': passed('backoff', 'session.waiting'),
  },
  situations: {
    connecting: [],
    'connecting, with a tunnel': ['tunnel.open web'],
    'logging in': ['relay.connected'],
    active,
    'active, with a tunnel': [...active, 'tunnel.open web'],
    waiting: ['relay.lost'],
    'waiting, with a tunnel': [...active, 'tunnel.open web', 'relay.lost'],
    'connecting again': [...active, 'relay.lost', 'after backoff'],
    refused: ['relay.connected', 'refused by the relay'],
    'active, for a parent': { input: { parent, relay: 'r1' }, after: active },
    'logging in, for a parent': { input: { parent, relay: 'r1' }, after: ['relay.connected'] },
  },
})

const tunnelInput = { session: parent, spec: web, isActive: true }

export const tunnelSamples = samplesOf(tunnelMachine, {
  input: tunnelInput,
  events: {
    'session.activated': { type: 'session.activated' },
    'session.lost': { type: 'session.lost' },
    'answered with a port': { type: 'relay.answered', remotePort: 7_000, domainPort: 0, error: '' },
    'answered with a domain': { type: 'relay.answered', remotePort: 7_000, domainPort: 443, error: '' },
    'answered without a port': { type: 'relay.answered', remotePort: 0, domainPort: 0, error: '' },
    'answered with an error': { type: 'relay.answered', remotePort: 0, domainPort: 0, error: 'port already used' },
    'after answerTimeout': passed('answerTimeout', 'tunnel.requesting'),
    'after retryDelay': passed('retryDelay', 'tunnel.refused'),
  },
  situations: {
    'opened while the session is active': [],
    'opened before the session is active': { input: { ...tunnelInput, isActive: false }, after: [] },
    open: ['answered with a port'],
    refused: ['answered with an error'],
    'opened with a domain': { input: { ...tunnelInput, spec: { ...web, domain: 'shop.example.org' } }, after: [] },
    'lost after it was open': ['answered with a port', 'session.lost'],
  },
})

const fromClient = (message: FrpOutgoing) => ({ type: 'client.received', message: messageOf(message) }) as const
const request = { proxy_name: 'web', proxy_type: 'tcp', remote_port: 7_000 }
const lent = { type: 'port.bound', port: { name: 'web', protocol: 'tcp', port: 7_000 }, domainPort: 0 } as const

const loginInput = { loginId: 'login 1', parent, runId: 'abc', poolCount: 2 }

export const loginSamples = samplesOf(loginMachine, {
  input: { loginId: 'login 1', runId: 'abc', poolCount: 2 },
  events: {
    ping: fromClient({ kind: 'Ping', body: {} }),
    'request for tcp': fromClient({ kind: 'NewProxy', body: request }),
    'request without a type': fromClient({ kind: 'NewProxy', body: { remote_port: 7_001 } }),
    'request for udp': fromClient({ kind: 'NewProxy', body: { proxy_name: 'dns', proxy_type: 'udp' } }),
    'request with compression': fromClient({ kind: 'NewProxy', body: { ...request, use_compression: true } }),
    'request of another type': fromClient({ kind: 'NewProxy', body: { ...request, proxy_type: 'xtcp' } }),
    'request with a domain': fromClient({ kind: 'NewProxy', body: { ...request, custom_domains: ['a.example.org'] } }),
    'request for udp with a domain': fromClient({
      kind: 'NewProxy',
      body: { ...request, proxy_type: 'udp', custom_domains: ['a.example.org'] },
    }),
    'release of web': fromClient({ kind: 'CloseProxy', body: { proxy_name: 'web' } }),
    'release of another': fromClient({ kind: 'CloseProxy', body: { proxy_name: 'ssh' } }),
    'message that a client does not send': fromClient({ kind: 'Pong', body: {} }),
    'port.bound': lent,
    'port.bound, with a domain': { ...lent, domainPort: 443 },
    'port.refused': { type: 'port.refused', name: 'web', error: 'port already used' },
    'client.ended': { type: 'client.ended', why: 'closed' },
    'login.freePort': { type: 'login.freePort', name: 'web', why: 'the owner closed it' },
    'login.close': { type: 'login.close', why: 'the owner closed it' },
  },
  situations: {
    active: [],
    lending: ['port.bound'],
    ended: ['client.ended'],
    'active, for a parent': { input: loginInput, after: [] },
    'lending, for a parent': { input: loginInput, after: ['port.bound'] },
  },
})
