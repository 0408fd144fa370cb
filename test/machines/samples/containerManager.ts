import { summaryOf } from '../../../machines/containerManager/containerTypes.ts'
import { imageStoreMachine } from '../../../machines/containerManager/imageStore.ts'
import { containerManagerMachine } from '../../../machines/containerManager.ts'
import { AppError } from '../../../protocol/errors.ts'
import { actorNamed, passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, NO_OPTIONS, owner, parent, replyOf } from './common.ts'
import { adopted, image } from './container.ts'

const key = 'container 0'
const id = adopted.id
const failure = new AppError('engine_failed', { why: 'it is gone' }).toJSON()
const summary = summaryOf(adopted, adopted, 'running')
const partly = { ...adopted, containerName: 'p2prc-2', complete: false, running: false }
const input = { maxContainers: 2, defaultImage: 'ssh', background: true }
const lending = ['link.ready (with a container)'] as const

export const containerManagerSamples = samplesOf(containerManagerMachine, {
  input,
  events: {
    'container.create': { ...owner('container.create', 'r'), ...NO_OPTIONS },
    'container.create s': { ...owner('container.create', 's'), ...NO_OPTIONS },
    'container.remove': { ...owner('container.remove', 'd'), id: id.slice(0, 12) },
    'container.remove (unknown)': { ...owner('container.remove', 'e'), id: 'ffff' },
    'container.list': owner('container.list', 'l'),
    'container.logs': { ...owner('container.logs', 'o'), id, follow: true, tail: 10 },
    'container.logs (unknown)': { ...owner('container.logs', 'p'), id: 'ffff', follow: false, tail: 10 },
    'image.build': owner('image.build', 'b'),
    'request.abandoned r': abandoned('r'),
    'request.abandoned d': abandoned('d'),
    'request.abandoned o': abandoned('o'),
    'link.ready': { type: 'link.ready', version: '27.1', found: [] },
    'link.ready (with a container)': { type: 'link.ready', version: '27.1', found: [adopted] },
    'link.lost': { type: 'link.lost', failure },
    'link.created': { type: 'link.created', found: partly },
    'link.created (known)': { type: 'link.created', found: { ...adopted, complete: false } },
    'link.changed': { type: 'link.changed', containerName: adopted.containerName, change: 'stopped' },
    'link.changed (unknown)': { type: 'link.changed', containerName: 'p2prc-9', change: 'gone' },
    'child.named': { type: 'child.named', key, containerName: 'p2prc-1', weakKeyBits: 1024 },
    'child.imageRequested': { type: 'child.imageRequested', key, again: false },
    'child.progress': { type: 'child.progress', key, step: 'start', line: 'Starting it' },
    'child.stateChanged': { type: 'child.stateChanged', key, summary, external: false },
    'child.stateChanged (external)': { type: 'child.stateChanged', key, summary, external: true },
    'child.created': { type: 'child.created', key, reply: replyOf(id) },
    'child.createFailed': { type: 'child.createFailed', key, failure, kept: false },
    'child.createFailed (kept)': { type: 'child.createFailed', key, failure, kept: true },
    'child.removeFailed': { type: 'child.removeFailed', key, failure },
    'child.gone': { type: 'child.gone', key, id, external: false },
    'child.gone (external)': { type: 'child.gone', key, id, external: true },
    'child.gone (never created)': { type: 'child.gone', key, id: null, external: false },
    'imageStore.emitted': {
      type: 'imageStore.emitted',
      fact: { type: 'image.progress', requestId: 'b', line: 'Step 1' },
    },
    'logs.line': { type: 'logs.line', requestId: 'o', stream: 'stdout', line: 'hello' },
    'logs.ended': { type: 'logs.ended', requestId: 'o' },
    'logs.failed': { type: 'logs.failed', requestId: 'o', failure },
    'after engineRetry': passed('engineRetry', 'containerManager.disconnected'),
  },
  situations: {
    'a process without a node': { input: { ...input, background: false }, after: [] },
    connecting: [],
    'connecting, with a command that waits': ['container.create'],
    'the same in a process without a node': { input: { ...input, background: false }, after: ['container.create'] },
    'connecting, with a build that waits': { input: { ...input, background: false }, after: ['image.build'] },
    'connected, without containers': ['link.ready'],
    creating: ['link.ready', 'container.create'],
    'creating for two': ['link.ready', 'container.create', 'container.create'],
    full: { input: { ...input, maxContainers: 1 }, after: ['link.ready', 'container.create'] },
    'rolling back': ['link.ready', 'container.create', 'child.createFailed'],
    'lending a container': lending,
    'removing it': [...lending, 'container.remove'],
    'removed it': [...lending, 'child.gone'],
    'reading its log': [...lending, 'container.logs'],
    'the engine is lost': ['link.lost'],
    'the engine is lost with a container': [...lending, 'link.lost'],
    'connecting again': ['link.lost', 'after engineRetry'],
    'connecting again, in a process without a node': {
      input: { ...input, background: false },
      after: ['container.create', 'link.lost', 'after engineRetry'],
    },
    'connecting again, with a container': [...lending, 'link.lost', 'after engineRetry'],
  },
})

const container = actorNamed('container 0')
const other = { type: 'imageStore.request', name: 'desktop', again: false, container } as const

export const imageStoreSamples = samplesOf(imageStoreMachine, {
  input: { parent, defaultImage: 'ssh' },
  events: {
    'imageStore.prepare': { type: 'imageStore.prepare' },
    'imageStore.build': { type: 'imageStore.build', requestId: 'b' },
    'imageStore.abandon': { type: 'imageStore.abandon', requestId: 'b' },
    'imageStore.request': { type: 'imageStore.request', name: 'ssh', again: false, container },
    'imageStore.request (again)': { type: 'imageStore.request', name: 'ssh', again: true, container },
    'imageStore.request (another image)': other,
    'image.line': { type: 'image.line', name: 'ssh', line: 'Step 1' },
    'image.line (another image)': { type: 'image.line', name: 'desktop', line: 'Step 1' },
    'image.ready': { type: 'image.ready', name: 'ssh', image },
    'image.ready (another image)': { type: 'image.ready', name: 'desktop', image: { ...image, name: 'desktop' } },
    'image.failed': { type: 'image.failed', name: 'ssh', failure },
    'image.failed (another image)': { type: 'image.failed', name: 'desktop', failure },
  },
  situations: {
    'without an image': [],
    'preparing the default image': ['imageStore.prepare'],
    'building it for a command': ['imageStore.build'],
    'building it for two': ['imageStore.build', 'imageStore.build'],
    'a container waits for it': ['imageStore.request'],
    'a container waits for another image': ['imageStore.request (another image)'],
    'the default image is ready': ['imageStore.prepare', 'image.ready'],
  },
})
