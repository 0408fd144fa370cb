import { specsMachine } from '../../../machines/specs.ts'
import { speedTestMachine } from '../../../machines/speedTest.ts'
import { speedTesterMachine } from '../../../machines/speedTester.ts'
import { AppError } from '../../../protocol/errors.ts'
import { directEndpoint } from '../../../protocol/net/endpoint.ts'
import type { SpeedMeasured } from '../../../protocol/speedTester.ts'
import { receivedSpecs } from '../../../protocol/wire/specs.ts'
import { done, failed, passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, nodeIdOf, owner, parent } from './common.ts'

export const specs = receivedSpecs.parse({ Hostname: 'here', RAM: 1_024, Cores: 2 })

const once = { intervalMs: 1_000, background: false }
const unreachable = new AppError('unreachable')

export const specsSamples = samplesOf(specsMachine, {
  input: { intervalMs: 1_000, background: true },
  events: {
    'specs.get': owner('specs.get', 'r'),
    'specs.request': { ...owner('specs.request', 'q'), where: 'there' },
    'request.done': { type: 'request.done', requestId: 'q', specs },
    'request.failed': { type: 'request.failed', requestId: 'q', ...unreachable.toJSON() },
    'request.abandoned r': abandoned('r'),
    'request.abandoned q': abandoned('q'),
    'done reading': done('0.specs.reading', specs),
    'error reading': failed('0.specs.reading', new Error('no /proc')),
    'after readTimeout': passed('readTimeout', 'specs.reading'),
    'after interval': passed('interval', 'specs.idle'),
    'after startDelay': passed('startDelay', 'specs.waiting'),
  },
  situations: {
    'a node has started': [],
    'a node reads for the first time': ['after startDelay'],
    'and somebody waits': ['specs.get'],
    'and two wait': ['specs.get', 'specs.get'],
    'the specifications are known': ['after startDelay', 'done reading'],
    'they are known, and read again': ['after startDelay', 'done reading', 'after interval'],
    'they could not be read': ['after startDelay', 'error reading'],
    'asking another node': ['after startDelay', 'done reading', 'specs.request'],
    'asking it for two': ['after startDelay', 'done reading', 'specs.request', 'specs.request'],
    'a process without a node': { input: once, after: [] },
    'a process without a node reads': { input: once, after: ['specs.get'] },
    'a process without a node has read': { input: once, after: ['specs.get', 'done reading'] },
  },
})

const measure = { ...owner('speed.measure', 'r'), where: 'there', direction: 'both' } as const
const endpoint = directEndpoint({ host: '10.0.0.1', port: 8_088 })
const peer = { id: nodeIdOf('a'), endpoints: [endpoint] }
export const measured: SpeedMeasured = {
  ...{ type: 'speed.measured', requestId: 'r', id: peer.id, endpoint, download: 90, upload: 80 },
  ...{ latencyNs: 1e6, latencyMedianNs: 2e6 },
}

export const speedTesterSamples = samplesOf(speedTesterMachine, {
  events: {
    'speed.measure': measure,
    'test.progressed': {
      type: 'test.progressed',
      fact: { type: 'speed.progress', requestId: 'r', step: 'download', line: '90.0 Mbit/s', mbps: 90 },
    },
    'test.ended': { type: 'test.ended', requestId: 'r', fact: measured },
    'request.abandoned': abandoned('r'),
  },
  situations: {
    'without a request': [],
    testing: ['speed.measure'],
    'testing for two': ['speed.measure', 'speed.measure'],
  },
})

const pinged = ['done resolve', 'slot.acquired', 'done ping'] as const
const download = { input: { parent, command: { ...measure, direction: 'download' } }, after: pinged } as const

export const speedTestSamples = samplesOf(speedTestMachine, {
  input: { parent, command: measure },
  events: {
    'slot.acquired': { type: 'slot.acquired' },
    'flow.progress': { type: 'flow.progress', mbps: 50 },
    'flow.measured': { type: 'flow.measured', mbps: 90 },
    'flow.refused': { type: 'flow.refused', ...new AppError('not_found').toJSON() },
    'flow.failed': { type: 'flow.failed', ...new AppError('connection_lost').toJSON() },
    'done resolve': done('resolve', peer),
    'error resolve': failed('resolve', unreachable),
    'done ping': done('ping', { id: peer.id, endpoint, bestNs: 1e6, medianNs: 2e6 }),
    'error ping': failed('ping', unreachable),
  },
  situations: {
    'looks for the peer': [],
    'waits for its turn': ['done resolve'],
    'measures the latency': ['done resolve', 'slot.acquired'],
    'measures the download': pinged,
    'measures the upload after it': [...pinged, 'flow.measured'],
    'measures the upload after a refused download': [...pinged, 'flow.refused'],
    'measures the download alone': download,
    measured: { ...download, after: [...pinged, 'flow.measured'] },
    failed: ['error resolve'],
  },
})
