import { type GossipEvent, startGossip } from '../../../machines/gossip/gossipState.ts'
import { stepGossip } from '../../../machines/gossip/gossipStep.ts'
import { gossipMachine, type Untimed } from '../../../machines/gossip.ts'
import { ipTableMachine } from '../../../machines/ipTable.ts'
import { TABLE_PAGE_MAX_CHARS } from '../../../protocol/defaults/ipTable.ts'
import { AppError } from '../../../protocol/errors.ts'
import { emptyIpTable, ipTableFile } from '../../../protocol/files/ipTable.ts'
import type { GossipEmits } from '../../../protocol/gossip.ts'
import { directEndpoint, parseEndpoints } from '../../../protocol/net/endpoint.ts'
import type { WireMessage } from '../../../protocol/wire/gossip.ts'
import { machineOf } from '../../../protocol/wire/record.ts'
import { makeGossipDriver } from '../../support/gossipDriver.ts'
import { done, failed, passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, nodeIdOf, owner } from './common.ts'
import { measured, specs } from './measures.ts'

const { signal } = new AbortController()
const [self, other] = [makeGossipDriver(), makeGossipDriver({}, '20.0.0.2:8088')]
const signed = other.record()
const { record } = signed
const address = '20.0.0.2:8088'
const endpoint = directEndpoint({ host: '20.0.0.2', port: 8_088 })
const moved = directEndpoint({ host: '20.0.0.7', port: 8_088 })
const unverified = directEndpoint({ host: '20.0.0.4', port: 8_088 })
const contact = { id: other.id, name: record.name, key: other.key, endpoint }
const noAnswer = { code: 'unreachable', message: 'no' }
const diskFailed = new AppError('disk_failed', { path: 'ip_table.json', why: 'full' })

const table = {
  file: emptyIpTable(),
  self: {
    ...{ id: nodeIdOf('s'), name: 'me', port: 8_088, information: '' },
    ...{ addresses: ['20.0.0.9'], advertisable: ['20.0.0.9'] },
  },
  startedAt: 0,
  watch: true,
  test: false,
  signal,
}
const longText = 'x'.repeat(TABLE_PAGE_MAX_CHARS)
const twoPages = ipTableFile.parse({
  ip_address: ['20.0.0.5', '20.0.0.6'].map((IPV4) => ({ IPV4, ServerPort: '8088', CustomInformation: longText })),
})
const saved = ['dial.succeeded', 'done save'] as const
const idle = [...saved, 'after saveInterval'] as const

export const ipTableSamples = samplesOf(ipTableMachine, {
  input: table,
  events: {
    'peer.resolve': { ...owner('peer.resolve', 'r'), where: '20.0.0.2' },
    'peer.resolve (a word)': { ...owner('peer.resolve', 'w'), where: 'word' },
    'resolveDns.ended': { type: 'resolveDns.ended', requestId: 'w', found: { endpoints: [endpoint] } },
    'resolveDns.ended (nothing)': { type: 'resolveDns.ended', requestId: 'w', found: null },
    'peer.add': { ...owner('peer.add', 'a'), where: '20.0.0.3', replace: false },
    'peer.add (this node)': { ...owner('peer.add', 'b'), where: '20.0.0.9', replace: false },
    'peer.showPath': { ...owner('peer.showPath', 'p'), where: '20.0.0.2' },
    'peer.list': owner('peer.list', 'l'),
    'table.show': owner('table.show', 's'),
    'request.continued': { type: 'request.continued', requestId: 'l' },
    'table.addUnverified': {
      ...{ ...owner('table.addUnverified', 'x'), from: '20.0.0.4' },
      unverified: [{ endpoint: unverified }],
    },
    'table.update': { ...owner('table.update', 'u'), hops: 1 },
    'crawl.visited': {
      ...{ type: 'crawl.visited', key: address, outcome: { kind: 'node', contact }, reported: [] },
      progress: { type: 'table.progress', requestId: 'u', hop: 1, where: address, entries: 2 },
    },
    'crawl.ended': { type: 'crawl.ended', requestId: 'u', named: [] },
    'probe.ended': {
      ...{ type: 'probe.ended', key: '20.0.0.4:8088' },
      outcome: { kind: 'legacy', at: unverified },
    },
    'probe.ended (silent)': { type: 'probe.ended', key: other.id, outcome: { kind: 'silent' } },
    'dial.succeeded': { type: 'dial.succeeded', purpose: 'command', ms: 1, at: 5, ...contact },
    'dial.succeeded (no key)': { type: 'dial.succeeded', purpose: 'command', ms: 1, at: 5, endpoint },
    'dial.failed': {
      type: 'dial.failed',
      purpose: 'command',
      at: 6,
      id: other.id,
      attempts: [{ ...noAnswer, endpoint }],
      ...noAnswer,
    },
    'speed.measured': { ...measured, id: other.id, endpoint },
    'record.merged': { type: 'record.merged', record },
    'record.suspected': { type: 'record.suspected', id: other.id },
    'record.cleared': { type: 'record.cleared', id: other.id },
    'record.dropped': { type: 'record.dropped', id: other.id, why: 'left' },
    'record.ownSigned': {
      type: 'record.ownSigned',
      record,
      signed: { text: signed.text, signature: signed.signature },
    },
    'link.opened': { type: 'link.opened', link: 'a1', id: other.id, dialled: true, address },
    'link.closed': { type: 'link.closed', link: 'a1', id: other.id, why: 'bye' },
    'node.concernCrashed (gossip)': { type: 'node.concernCrashed', concern: 'gossip', message: 'no', retryMs: 100 },
    'node.concernCrashed (trust)': { type: 'node.concernCrashed', concern: 'trust', message: 'no', retryMs: 100 },
    'gossip.started': { type: 'gossip.started' },
    'gossip.selfAddressObserved': { type: 'gossip.selfAddressObserved', by: other.id, address: '20.0.0.8:8088' },
    'self.addressesChanged': { type: 'self.addressesChanged', addresses: ['20.0.0.7'], advertisable: ['20.0.0.7'] },
    'port.nodeRelayed': {
      type: 'port.nodeRelayed',
      endpoints: [{ kind: 'relayed', host: '20.0.0.8', port: 20_000 }],
    },
    'node.addressFound': { type: 'node.addressFound', address: '20.0.0.6' },
    'reach.changed': {
      type: 'reach.changed',
      state: 'reachable',
      endpoints: [
        { endpoint: { kind: 'mapped', host: '20.0.0.9', port: 9_000 }, state: 'reachable', since: 1, by: [] },
      ],
      mapping: { state: 'confirmed', since: 1, by: 'UPnP' },
    },
    'request.abandoned w': abandoned('w'),
    'request.abandoned a': abandoned('a'),
    'request.abandoned u': abandoned('u'),
    'request.abandoned l': abandoned('l'),
    'after tick': passed('tick', 'ipTable.probing.idle'),
    'after saveDelay': passed('saveDelay', 'ipTable.persisting.collecting'),
    'after saveInterval': passed('saveInterval', 'ipTable.persisting.throttled'),
    'done save': done('save'),
    'error save': failed('save', diskFailed),
  },
  situations: {
    'an empty table': [],
    'a damaged table': { input: { ...table, quarantined: 'ip_table.json.damaged' }, after: [] },
    'saving a peer that joined': ['dial.succeeded'],
    'saved it': saved,
    'knows it': idle,
    'has something to save, which is not urgent': [...idle, 'speed.measured'],
    'saving for a request': ['peer.add'],
    'resolving a word': ['peer.resolve (a word)'],
    'resolving a word for two': ['peer.resolve (a word)', 'peer.resolve (a word)'],
    crawling: [...idle, 'table.update'],
    'an address waits for its probe': ['table.addUnverified'],
    'probing it': ['table.addUnverified', 'after tick'],
    'linked to a member': [...idle, 'record.merged', 'link.opened'],
    'suspects a member': [...idle, 'record.merged', 'record.suspected'],
    'listing more than a page': { input: { ...table, file: twoPages }, after: ['peer.list'] },
    'a process without a node': { input: { ...table, watch: false }, after: [] },
    'a process without a node has saved': { input: { ...table, watch: false }, after: ['peer.add', 'done save'] },
  },
})

const hello = {
  kind: 'link/hello',
  body: { record: [signed.text, signed.signature], root: '', active: true, links: 0 },
} as WireMessage
const { name, endpoints, port, version, customInformation, capabilities } = self.state.self.record
const gossipStart = {
  ...{ id: self.id, key: self.key, lastSeq: 0, bootstrapAddresses: [], now: 1_000, seed: 1, config: {} },
  fields: { name, endpoints, port, version, customInformation, capabilities, machine: machineOf(specs) },
}

/** What the stepper reports after some events. */
function stepped(...events: Untimed[]) {
  let state = startGossip(gossipStart, self.tools)
  let facts: readonly GossipEmits[] = []
  for (const event of events) {
    const step = stepGossip(state, { ...event, at: 2_000 } as GossipEvent, self.tools)
    state = step.state
    facts = step.effects.flatMap((effect) => (effect.type === 'emit' ? [effect.fact] : []))
  }
  return { type: 'stepped' as const, state, facts }
}
const opened: Untimed = { type: 'opened', link: 'a1', id: other.id, dialled: false, address }
const received: Untimed = { type: 'received', link: 'a1', message: hello }

export const gossipSamples = samplesOf(gossipMachine, {
  input: {
    start: gossipStart,
    tools: self.tools,
    signal,
  },
  events: {
    'stepped (a tick)': stepped({ type: 'tick' }),
    'stepped (opened)': stepped(opened),
    'stepped (received)': stepped(opened, received),
    'stepped (closed)': stepped(opened, received, { type: 'closed', link: 'a1' }),
    'stepped (leaving)': stepped({ type: 'leaving' }),
    stepFailed: { type: 'stepFailed', error: diskFailed },
    'peer.addressDiscovered': { type: 'peer.addressDiscovered', endpoints: [endpoint], id: other.id },
    'table.seedsListed': { type: 'table.seedsListed', seeds: [{ endpoints: [endpoint], id: other.id }] },
    'table.selfAddressesChanged': { type: 'table.selfAddressesChanged', endpoints: [moved], port },
    'table.selfAddressesChanged (the same)': {
      type: 'table.selfAddressesChanged',
      endpoints: parseEndpoints(endpoints),
      port,
    },
    'specs.changed': { type: 'specs.changed', specs: { ...specs, RAM: 2_048 } },
    'trust.changed': { type: 'trust.changed', trusted: [other.id] },
    'relay.dhtChanged': { type: 'relay.dhtChanged', state: 'running', port: 8_088 },
    'specs.changed (the same)': { type: 'specs.changed', specs },
    'record.describe': { ...owner('record.describe', 'r'), text: 'hello' },
    'persist.ended': { type: 'persist.ended', requestId: 'r', text: 'hello' },
    'persist.ended (failed)': { type: 'persist.ended', requestId: 'r', text: 'hello', failure: diskFailed.toJSON() },
    'node.stopping': { type: 'node.stopping' },
  },
  situations: {
    'without a link': [],
    'linked to a node': ['stepped (opened)', 'stepped (received)'],
    'writing a text': ['record.describe'],
    left: ['stepped (leaving)'],
    failed: ['stepFailed'],
  },
})
