import { trustMachine } from '../../../machines/trust.ts'
import { AppError } from '../../../protocol/errors.ts'
import { done, failed, samplesOf } from '../../support/playTable.ts'
import { abandoned, nodeIdOf, owner } from './common.ts'

const [alice, bob] = [nodeIdOf('a'), nodeIdOf('b')]
const read = { id: bob, key: 'ssh-ed25519 BBBB', comment: 'bob', at: '2026-01-01T00:00:00.000Z' }
const known = [{ id: alice, name: 'alice', key: 'ssh-ed25519 AAAA', addedAt: '2026-01-01T00:00:00.000Z' }]

export const trustSamples = samplesOf(trustMachine, {
  input: { peers: known },
  events: {
    'trust.add': { ...owner('trust.add', 'r'), key: read.key, name: '' },
    'trust.add s': { ...owner('trust.add', 's'), key: read.key, name: 'bobby' },
    'trust.remove alice': { ...owner('trust.remove', 'r'), who: 'alice' },
    'trust.remove nobody': { ...owner('trust.remove', 'q'), who: 'nobody' },
    'trust.list': owner('trust.list', 'l'),
    'request.abandoned': abandoned('r'),
    'request.abandoned s': abandoned('s'),
    'done readKey': done('readKey', read),
    'error readKey': failed('readKey', new AppError('bad_key', { why: 'not a key' })),
    'done save': done('save'),
    'error save': failed('save', new AppError('disk_failed')),
  },
  situations: {
    idle: [],
    adding: ['trust.add'],
    'adding, with another queued': ['trust.add', 'trust.add s'],
    'adding, with another queued for two': ['trust.add', 'trust.add s', 'trust.add s'],
    'saving an added peer': ['trust.add', 'done readKey'],
    'saving a removal': ['trust.remove alice'],
  },
})
