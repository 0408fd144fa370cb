import { containerMachine } from '../../../machines/container.ts'
import type {
  AdoptedContainer,
  ContainerRequest,
  CreatedContainer,
  Credentials,
} from '../../../machines/containerManager/containerTypes.ts'
import { logReaderMachine } from '../../../machines/containerManager/logReader.ts'
import { type ContainerImage, imageMachine } from '../../../machines/image.ts'
import { PORT_ATTEMPTS_MAX } from '../../../protocol/defaults/containerManager.ts'
import { AppError } from '../../../protocol/errors.ts'
import { Secret } from '../../../protocol/secret.ts'
import { done, failed, passed, samplesOf } from '../../support/playTable.ts'
import { containerIdOf, NO_OPTIONS, parent, replyOf } from './common.ts'

const id = containerIdOf('a')
const created: CreatedContainer = { id, createdAt: 1, reply: replyOf(id) }
const request: ContainerRequest = { requestId: 'r', caller: 'owner', ...NO_OPTIONS, image: 'ssh' }
const credentials: Credentials = {
  containerName: 'p2prc-1',
  publicKey: '',
  hostKey: { private: new Secret('private'), public: 'ssh-ed25519 HHHH' },
}

export const adopted: AdoptedContainer = {
  ...created,
  containerName: 'p2prc-1',
  caller: 'owner',
  requestId: 'r',
  complete: true,
  running: true,
}

export const image: ContainerImage = { name: 'ssh', tag: 'p2prc/ssh:1', digest: '1', ports: [], built: true }

const input = { key: 'container 0', parent }
const engineFailed = new AppError('engine_failed', { why: 'it answered 500' })
const portInUse = new AppError('ports_exhausted')
const step = (name: string) => `0.container.provisioning.${name}`
const image1 = ['done creatingCredentials', 'image.ready'] as const
const creating = [...image1, 'done allocatingPorts'] as const
const starting = [...creating, 'done creating', 'done injectingKeys'] as const
const retried = ['error starting (port in use)', 'done retryCleanup', 'done allocatingPorts'] as const
const again = [...retried, 'done creating', 'done injectingKeys'] as const
const lastPorts = Array.from({ length: PORT_ATTEMPTS_MAX - 1 }, () => again).flat()
const left = { input: { ...input, adopted: { ...adopted, complete: false } }, after: [] } as const
const found = { ...input, adopted }

export const containerSamples = samplesOf(containerMachine, {
  input: { ...input, request },
  events: {
    request: { type: 'request' },
    abandon: { type: 'abandon' },
    remove: { type: 'remove' },
    'image.line': { type: 'image.line', line: 'Step 1' },
    'image.ready': { type: 'image.ready', image },
    'image.failed': { type: 'image.failed', failure: new AppError('base_missing').toJSON() },
    'engine.created': { type: 'engine.created' },
    'engine.running': { type: 'engine.running' },
    'engine.stopped': { type: 'engine.stopped' },
    'engine.gone': { type: 'engine.gone' },
    'done creatingCredentials': done(step('creatingCredentials'), credentials),
    'error creatingCredentials': failed(step('creatingCredentials'), new AppError('bad_key', { why: 'short' })),
    'done allocatingPorts': done(step('allocatingPorts'), created.reply.Ports.Port),
    'error allocatingPorts': failed(step('allocatingPorts'), portInUse),
    'done creating': done(step('creating'), created),
    'error creating': failed(step('creating'), engineFailed),
    'error creating (no image)': failed(step('creating'), new AppError('image_failed', { why: 'gone' })),
    'done injectingKeys': done(step('injectingKeys')),
    'error injectingKeys': failed(step('injectingKeys'), engineFailed),
    'done starting': done(step('starting')),
    'error starting': failed(step('starting'), engineFailed),
    'error starting (port in use)': failed(step('starting'), portInUse),
    'done retryCleanup': done(step('retryCleanup')),
    'error retryCleanup': failed(step('retryCleanup'), engineFailed),
    'done awaitingSsh': done(step('awaitingSsh'), created.reply),
    'error awaitingSsh': failed(step('awaitingSsh'), new AppError('ssh_failed', { why: 'silent' })),
    'done replying': done('0.container.ready.reply.replying', created.reply),
    'error replying': failed('0.container.ready.reply.replying', engineFailed),
    'done removing': done('0.container.removing'),
    'error removing': failed('0.container.removing', engineFailed),
    'done rollingBack': done('0.container.rollingBack'),
    'error rollingBack': failed('0.container.rollingBack', engineFailed),
    'after engineRetry': passed('engineRetry', 'container.rollbackRetry'),
  },
  situations: {
    requested: [],
    'waits for its image': ['done creatingCredentials'],
    'has its image': image1,
    'has its ports': creating,
    'the image was gone': [...creating, 'error creating (no image)'],
    'the image was gone and is here again': [
      ...([...creating, 'error creating (no image)'] as const),
      'image.ready',
      'done allocatingPorts',
    ],
    created: [...creating, 'done creating'],
    starting,
    'its port was in use': [...starting, 'error starting (port in use)'],
    'starting with the last ports that it tries': [...starting, ...lastPorts],
    started: [...starting, 'done starting'],
    complete: [...starting, 'done starting', 'done awaitingSsh'],
    'found running': { input: found, after: [] },
    'found stopped': { input: { ...input, adopted: { ...adopted, running: false } }, after: [] },
    'its reply is asked again': { input: found, after: ['request'] },
    removing: { input: found, after: ['remove'] },
    'given up before it was created': ['abandon'],
    'failed after it was created': [...creating, 'done creating', 'error injectingKeys'],
    'found partly created': left,
    'removed by another program': { input: found, after: ['engine.gone'] },
    'could not be removed': ['abandon', 'error rollingBack'],
    removed: { input: found, after: ['remove', 'done removing'] },
  },
})

const stepOf = (name: string) => `0.image.${name}`

export const imageSamples = samplesOf(imageMachine, {
  input: { name: 'ssh', parent },
  events: {
    check: { type: 'check' },
    'step.line': { type: 'step.line', line: 'Step 1' },
    'step.done': { type: 'step.done', base: 'debian' },
    'step.failed': { type: 'step.failed', failure: new AppError('base_missing').toJSON() },
    'done checking (built)': done(stepOf('checking'), image),
    'done checking (not built)': done(stepOf('checking'), { ...image, built: false }),
    'error checking': failed(stepOf('checking'), new AppError('bad_image', { image: 'ssh' })),
    'error ready': failed(stepOf('ready'), engineFailed),
  },
  situations: {
    checking: [],
    'needs its base': ['done checking (not built)'],
    'has its base': ['done checking (not built)', 'step.done'],
    built: ['done checking (built)'],
    failed: ['error checking'],
  },
})

export const logReaderSamples = samplesOf(logReaderMachine, {
  input: { parent, requestId: 'r', id, follow: false, tail: 10 },
  events: {
    'logs.line': { type: 'logs.line', requestId: 'r', stream: 'stdout', line: 'hello' },
    'logs.ended': { type: 'logs.ended', requestId: 'r' },
    'logs.failed': { type: 'logs.failed', requestId: 'r', failure: engineFailed.toJSON() },
  },
  situations: { reading: [], ended: ['logs.ended'], failed: ['logs.failed'] },
})
