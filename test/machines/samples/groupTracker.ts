import { type CreateCommand, groupCreateMachine } from '../../../machines/groupCreate.ts'
import { groupTrackerMachine } from '../../../machines/groupTracker.ts'
import { loanMachine } from '../../../machines/loan.ts'
import { CONCURRENT_TAKES_MAX } from '../../../protocol/defaults/groupTracker.ts'
import { AppError } from '../../../protocol/errors.ts'
import { done, failed, samplesOf } from '../../support/playTable.ts'
import { abandoned, containerIdOf, loanOf, NO_OPTIONS, owner, parent } from './common.ts'

const options = { ...NO_OPTIONS, password: false, keyFile: '' }
const take = { ...owner('loan.take', 'r'), ...options, where: '10.0.0.1' }
const create: CreateCommand = {
  ...{ ...owner('group.create', 'r'), ...options },
  ...{ name: 'farm', members: [], on: ['a'], count: 0, nearest: 0 },
}
const id = containerIdOf('a')
const group = { ID: 'grp1', Name: 'farm', TrackContainer: [] }

export const groupTrackerSamples = samplesOf(groupTrackerMachine, {
  events: {
    'loan.take': take,
    'group.create': create,
    'loan.return': { ...owner('loan.return', 'r'), id, forget: false },
    'loan.list': owner('loan.list', 'r'),
    'loan.listHeld': { ...owner('loan.listHeld', 'r'), where: '10.0.0.1' },
    'loan.find': { ...owner('loan.find', 'r'), id },
    'loan.logs': { ...owner('loan.logs', 'r'), id, follow: false, tail: 10 },
    'loan.resolve': { ...owner('loan.resolve', 'r'), id: 'grp1' },
    'loan.usePorts': { ...owner('loan.usePorts', 'r'), id, plugin: 'web', ports: [80] },
    'group.list': owner('group.list', 'r'),
    'group.show': { ...owner('group.show', 'r'), id: 'grp1' },
    'group.add': { ...owner('group.add', 'r'), id: 'grp1', members: [id] },
    'group.remove': { ...owner('group.remove', 'r'), id: 'grp1', members: [id] },
    'group.delete': { ...owner('group.delete', 'r'), id: 'grp1', containers: false },
    'group.exec': { ...owner('group.exec', 'r'), id: 'grp1', command: ['uptime'], retryFailed: false },
    'child.emitted': {
      type: 'child.emitted',
      fact: { type: 'loan.progress', requestId: 'r', step: 'start', line: 'Starting it' },
    },
    'child.ended': {
      type: 'child.ended',
      requestId: 'r',
      fact: { type: 'loan.taken', requestId: 'r', loan: loanOf(id) },
    },
    'request.abandoned': abandoned('r'),
  },
  situations: {
    'without a request': [],
    executing: ['loan.find'],
    'executing for two': ['loan.find', 'loan.find'],
    taking: ['loan.take'],
    'taking for two': ['loan.take', 'loan.take'],
    'creating a group': ['group.create'],
    'rolling back': ['loan.take', 'request.abandoned'],
    'rolling back, and asked again': ['loan.take', 'request.abandoned', 'loan.take'],
  },
})

const diskFailed = new AppError('disk_failed', { path: 'loans.json', why: 'full' })
const lost = { type: 'lender.failed', ...new AppError('connection_lost').toJSON() } as const

export const loanSamples = samplesOf(loanMachine, {
  input: { parent, command: take },
  events: {
    'lender.progress': { type: 'lender.progress', step: 'start', line: 'Starting it' },
    'lender.created': { type: 'lender.created', loan: loanOf(id) },
    'lender.failed': { type: 'lender.failed', ...new AppError('not_trusted').toJSON() },
    'lender.failed (connection lost)': lost,
    'take.abandoned': { type: 'take.abandoned' },
    'done tracking': done('0.loan.tracking'),
    'error tracking': failed('0.loan.tracking', diskFailed),
    'done rollingBack': done('0.loan.rollingBack'),
    'error rollingBack': failed('0.loan.rollingBack', new AppError('unreachable')),
    'done cleaningUp': done('0.loan.cleaningUp'),
    'error cleaningUp': failed('0.loan.cleaningUp', new AppError('unreachable')),
  },
  situations: {
    requested: [],
    'the lender has created it': ['lender.created'],
    'abandoned while it is tracked': ['lender.created', 'take.abandoned'],
    'could not be tracked': ['lender.created', 'error tracking'],
    'the connection was lost': ['lender.failed (connection lost)'],
    'abandoned before it was created': ['take.abandoned'],
    taken: ['lender.created', 'done tracking'],
    failed: ['lender.failed'],
  },
})

const ended = (number: number) => ({ type: 'child.ended', requestId: `r/${number}` }) as const
const taken = (number: number) => ({
  ...ended(number),
  fact: { type: 'loan.taken' as const, requestId: `r/${number}`, loan: loanOf(containerIdOf(`${number}`)) },
})
const refused = (number: number) => ({
  ...ended(number),
  fact: { type: 'loan.takeFailed' as const, requestId: `r/${number}`, ...new AppError('not_trusted').toJSON() },
})
const of = (changes: Partial<CreateCommand>) => ({ parent, command: { ...create, ...changes } })
const two = of({ on: ['a', 'b'] })

export const groupCreateSamples = samplesOf(groupCreateMachine, {
  input: of({}),
  events: {
    'take.abandoned': { type: 'take.abandoned' },
    'child.emitted': {
      type: 'child.emitted',
      fact: { type: 'loan.progress', requestId: 'r/1', step: 'start', line: 'Starting it' },
    },
    'child.ended (1 taken)': taken(1),
    'child.ended (1 failed)': refused(1),
    'child.ended (2 taken)': taken(2),
    'done checking': done('0.groupCreate.checking'),
    'error checking': failed('0.groupCreate.checking', new AppError('bad_request', { why: 'the name is in use' })),
    'done choosing': done('0.groupCreate.choosing', ['c', 'd']),
    'error choosing': failed('0.groupCreate.choosing', new AppError('peers_short', { found: 1, count: 2 })),
    'done writing': done('0.groupCreate.writing', group),
    'error writing': failed('0.groupCreate.writing', diskFailed),
    'done rollingBack': done('0.groupCreate.rollingBack'),
    'error rollingBack': failed('0.groupCreate.rollingBack', diskFailed),
  },
  situations: {
    'of one new container': [],
    'of containers that are here': { input: of({ on: [], members: [id] }), after: [] },
    'of the nearest machines': { input: of({ on: [], nearest: 2 }), after: [] },
    'looks for the nearest machines': { input: of({ on: [], nearest: 2 }), after: ['done checking'] },
    'takes from one machine': ['done checking'],
    'takes from one machine, and has a member': { input: of({ members: [id] }), after: ['done checking'] },
    'takes from two machines': { input: two, after: ['done checking'] },
    'the first was taken': { input: two, after: ['done checking', 'child.ended (1 taken)'] },
    'the first has failed': { input: two, after: ['done checking', 'child.ended (1 failed)'] },
    'more than are taken at once': { input: of({ count: CONCURRENT_TAKES_MAX + 1 }), after: ['done checking'] },
    'abandoned while it takes': { input: two, after: ['done checking', 'take.abandoned'] },
    'abandoned, and one was taken': {
      input: two,
      after: ['done checking', 'take.abandoned', 'child.ended (1 taken)'],
    },
    writes: ['done checking', 'child.ended (1 taken)'],
    'returns what was taken': ['done checking', 'child.ended (1 taken)', 'error writing'],
    created: ['done checking', 'child.ended (1 taken)', 'done writing'],
    failed: ['error checking'],
  },
})
