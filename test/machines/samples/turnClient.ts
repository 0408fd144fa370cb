import { punchedPathMachine } from '../../../machines/turnClient/punchedPath.ts'
import { DOMAIN_RELAY } from '../../../machines/turnClient/relays.ts'
import { NODE_TUNNEL, tunnelName } from '../../../machines/turnClient/turnClientContext.ts'
import { turnClientMachine } from '../../../machines/turnClient.ts'
import type { ContainerId } from '../../../protocol/ids.ts'
import { makeGossipDriver } from '../../support/gossipDriver.ts'
import { passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, nodeIdOf, owner } from './common.ts'

const { record } = makeGossipDriver().record()
const [near, far, borrower] = [nodeIdOf('a'), nodeIdOf('b'), nodeIdOf('c')]
const endpoint = { kind: 'direct', host: '203.0.113.9', port: 8_088 } as const
const nearRelay = { id: near, endpoints: [endpoint], latencyNs: 1_000, names: [], isForTrusted: false }
const farRelay = { id: far, endpoints: [endpoint], latencyNs: 9_000, names: [], isForTrusted: false }
const thirdRelay = { ...farRelay, id: nodeIdOf('d'), latencyNs: 10_000 }
const relays = [nearRelay, farRelay]
const frps = {
  id: '203.0.113.9:7000',
  endpoints: [endpoint],
  latencyNs: null,
  names: ['frps'],
  isForTrusted: false,
  keyless: 'frps',
} as const
const unresolved = {}
const name = tunnelName({ protocol: 'tcp', port: 8_000 })
const container = 'c'.repeat(64) as ContainerId
const peerMap = { ...owner('port.map', 'r8'), caller: borrower, port: 8_000, protocol: 'tcp' } as const
const domain = 'shop.example.org'
const failure = { code: 'not_found', message: 'no' }
const waiting = { port: 8_000, protocol: 'tcp', state: 'waiting', since: 0 } as const
const held = ['port.map', 'relays.found'] as const
const led = [...held, 'session.activated'] as const
const open = [...led, 'tunnel.opened', 'mapping.confirmed'] as const
const input = { signal: new AbortController().signal, wanted: [], port: 8_088, isBehindNat: false }
const byDomain = [
  'port.map by a domain',
  'relays.found, one that shows domains',
  'session.activated, far',
  'tunnel.opened, by a domain',
  'mapping.confirmed',
] as const
const both = [...open, 'session.activated, far'] as const
const lent = ['port.map by a peer', 'authorize.ended', 'relays.found', 'session.activated', 'tunnel.opened'] as const
const viaFrps = ['port.map via frps', 'relays.found, frps'] as const
const self = ['relays.found', 'session.activated', 'tunnel.opened, itself'] as const

export const punchedPathSamples = samplesOf(punchedPathMachine, {
  isPrivate: true,
  input: { relay: near },
  events: {
    'listen.opened': { type: 'listen.opened', endpoint: { ...endpoint, kind: 'punched' } },
    'listen.failed': { type: 'listen.failed', failure },
    'listen.failed, missing': { type: 'listen.failed', failure: { code: 'punching_missing', message: 'no' } },
    'renew.done': { type: 'renew.done' },
    'after renewInterval': passed('renewInterval', 'punchedPath.alive.listening'),
    'after retryInterval': passed('retryInterval', 'punchedPath.waiting'),
  },
  situations: {
    opening: [],
    listening: ['listen.opened'],
    renewing: ['listen.opened', 'after renewInterval'],
    waiting: ['listen.failed'],
    missing: ['listen.failed, missing'],
  },
})

export const turnClientSamples = samplesOf(turnClientMachine, {
  input,
  events: {
    'port.map': { ...owner('port.map', 'r1'), port: 8_000, protocol: 'tcp' },
    'port.map again': { ...owner('port.map', 'r2'), port: 8_000, protocol: 'tcp' },
    'port.map via far': { ...owner('port.map', 'r6'), port: 8_000, protocol: 'tcp', via: 'far' },
    'port.map via frps': { ...owner('port.map', 'r12'), port: 8_000, protocol: 'tcp', via: 'frps' },
    'port.map by a domain': { ...owner('port.map', 'r13'), port: 8_000, protocol: 'tcp', domain },
    'port.map on a peer': { ...owner('port.map', 'r7'), port: 8_000, protocol: 'tcp', on: 'peer' },
    'port.map by a peer': peerMap,
    'authorize.ended': { type: 'authorize.ended', requestId: 'r8', command: peerMap, container },
    'authorize.ended, by a domain': {
      type: 'authorize.ended',
      requestId: 'r8',
      command: { ...peerMap, domain },
      container,
    },
    'authorize.ended, refused': { type: 'authorize.ended', requestId: 'r8', failure },
    'port.showNode': owner('port.showNode', 'r12'),
    'port.list': owner('port.list', 'r3'),
    'port.list on a peer': { ...owner('port.list', 'r9'), on: 'peer' },
    'port.unmap': { ...owner('port.unmap', 'r4'), which: '8000' },
    'port.unmap another': { ...owner('port.unmap', 'r5'), which: '8000/udp' },
    'port.unmap by a peer': { ...owner('port.unmap', 'r5'), caller: borrower, which: '8000' },
    'port.unmap on a peer': { ...owner('port.unmap', 'r10'), which: '8000', on: 'peer' },
    'delegate.ended, map': { type: 'delegate.ended', requestId: 'r7', mappings: [waiting] },
    'delegate.ended, list': { type: 'delegate.ended', requestId: 'r9', mappings: [waiting] },
    'delegate.ended, unmap': { type: 'delegate.ended', requestId: 'r10', mappings: [waiting] },
    'delegate.ended, map failed': { type: 'delegate.ended', requestId: 'r7', failure },
    'delegate.ended, list failed': { type: 'delegate.ended', requestId: 'r9', failure },
    'delegate.ended, unmap failed': { type: 'delegate.ended', requestId: 'r10', failure },
    'reach.changed, unreachable': {
      type: 'reach.changed',
      state: 'unreachable',
      endpoints: [],
      mapping: { state: 'unneeded', since: 0 },
    },
    'reach.changed, reachable': {
      type: 'reach.changed',
      state: 'reachable',
      endpoints: [],
      mapping: { state: 'unneeded', since: 0 },
    },
    'container.removed': { type: 'container.removed', requestId: 'r11', id: container },
    'container.changed, gone': { type: 'container.changed', id: container, state: 'gone' },
    'request.abandoned': abandoned('r1'),
    'request.abandoned, delegated': abandoned('r7'),
    'record.merged, of a relay': { type: 'record.merged', record: { ...record, capabilities: ['relay'] } },
    'relays.found': { type: 'relays.found', relays, unresolved },
    'relays.found, none': { type: 'relays.found', relays: [], unresolved },
    'relays.found, three': { type: 'relays.found', relays: [...relays, thirdRelay], unresolved },
    'relays.found, far by its name': {
      type: 'relays.found',
      relays: [nearRelay, { ...farRelay, names: ['far'] }],
      unresolved,
    },
    'relays.found, one that shows domains': {
      type: 'relays.found',
      relays: [nearRelay, { ...farRelay, names: [DOMAIN_RELAY] }],
      unresolved,
    },
    'relays.found, nobody named far': { type: 'relays.found', relays, unresolved: { far: failure } },
    'relays.found, frps': { type: 'relays.found', relays: [...relays, frps], unresolved },
    'session.activated': { type: 'session.activated', relay: near },
    'session.activated, far': { type: 'session.activated', relay: far },
    'session.activated, frps': { type: 'session.activated', relay: frps.id },
    'session.lost': { type: 'session.lost', relay: near, why: 'reset' },
    'session.refused': { type: 'session.refused', relay: near, why: 'not trusted' },
    'session.refused, frps': { type: 'session.refused', relay: frps.id, why: 'wrong token' },
    'session.refused, far': { type: 'session.refused', relay: far, why: 'not trusted' },
    'tunnel.opened': { type: 'tunnel.opened', relay: near, name, remotePort: 20_000, domainPort: 0 },
    'tunnel.opened, far': { type: 'tunnel.opened', relay: far, name, remotePort: 20_001, domainPort: 0 },
    'tunnel.opened, frps': { type: 'tunnel.opened', relay: frps.id, name, remotePort: 20_003, domainPort: 0 },
    'tunnel.opened, by a domain': { type: 'tunnel.opened', relay: far, name, remotePort: 20_001, domainPort: 443 },
    'tunnel.opened, itself': {
      type: 'tunnel.opened',
      relay: near,
      name: NODE_TUNNEL,
      remotePort: 20_002,
      domainPort: 0,
    },
    'tunnel.refused': { type: 'tunnel.refused', relay: near, name, why: 'port already used' },
    'mapping.confirmed': { type: 'mapping.confirmed', name, address: { ...endpoint, port: 20_000 }, at: 7 },
    'mapping.confirmed, itself': {
      type: 'mapping.confirmed',
      name: NODE_TUNNEL,
      address: { ...endpoint, port: 20_002 },
      at: 7,
    },
    'mapping.unconfirmed': { type: 'mapping.unconfirmed', name, failure: { code: 'timed_out', message: 'no' } },
    'punched.opened': { type: 'punched.opened', relay: near, endpoint: { ...endpoint, kind: 'punched' } },
    'punched.closed': { type: 'punched.closed', relay: near, failure },
    'save.failed': { type: 'save.failed', failure: { code: 'disk_failed', message: 'full' } },
    'after searchInterval': passed('searchInterval', 'turnClient.reaching.loggedIn'),
    'after searchInterval, waiting': passed('searchInterval', 'turnClient.reaching.discovering.waiting'),
    'after discoveryTimeout': passed('discoveryTimeout', 'turnClient.reaching.discovering'),
  },
  situations: {
    idle: [],
    'of a process that listens nowhere': { input: { ...input, port: 0 }, after: [] },
    'after a restart': {
      input: { ...input, wanted: [{ port: 8_000, protocol: 'tcp', remotePort: 20_000 }] },
      after: [],
    },
    'behind a NAT': { input: { ...input, isBehindNat: true }, after: [] },
    'behind a NAT, confirming': { input: { ...input, isBehindNat: true }, after: self },
    'behind a NAT, relayed': { input: { ...input, isBehindNat: true }, after: [...self, 'mapping.confirmed, itself'] },
    'delegating to map': ['port.map on a peer'],
    'delegating to list': ['port.list on a peer'],
    'delegating to unmap': ['port.unmap on a peer'],
    authorizing: ['port.map by a peer'],
    discovering: ['port.map'],
    'discovering, with two waiters': ['port.map', 'port.map'],
    'discovering a named one': ['port.map via far'],
    'waiting for a relay to be known': ['port.map', 'relays.found, none'],
    'searching for the last time': ['port.map', 'relays.found, none', 'after discoveryTimeout'],
    'searching for a named one': [...held, 'port.map via far'],
    'logging in at two of three': ['port.map', 'relays.found, three'],
    'logging in at two of three, and one refused': ['port.map', 'relays.found, three', 'session.refused'],
    'searching for frps': ['port.map via frps'],
    'logging in at frps': viaFrps,
    'refused by frps': [...viaFrps, 'session.refused, frps'],
    'open at frps': [...viaFrps, 'session.activated, frps', 'tunnel.opened, frps', 'mapping.confirmed'],
    'logging in at two': held,
    'logged in at the near one': led,
    'logged in at both': [...led, 'session.activated, far'],
    confirming: [...led, 'tunnel.opened'],
    open,
    'open, of a peer': [...lent, 'mapping.confirmed'],
    'open, with a spare': both,
    'searching for one that shows domains': ['port.map by a domain'],
    'open, by a domain': byDomain,
    'open, and by a domain now': [...open, 'port.map by a domain'],
    'open, and the near one is lost': [...both, 'session.lost'],
    'open, and both are lost': [...open, 'session.refused, far', 'session.lost'],
  },
})
