import { pluginRunMachine, type RunPlan } from '../../../machines/pluginRun.ts'
import { pluginRunnerMachine } from '../../../machines/pluginRunner.ts'
import { AppError } from '../../../protocol/errors.ts'
import { done, failed, passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, containerIdOf, owner, parent } from './common.ts'

const { signal } = new AbortController()
const run = {
  ...owner('plugin.run', 'r'),
  ...{ name: 'hello', id: 'grp1', timeoutMs: 5_000, output: '', vars: {}, stock: false },
}
const step = { member: 'a', task: 'install', item: '', status: 'ok', message: '' } as const

export const pluginRunnerSamples = samplesOf(pluginRunnerMachine, {
  input: { signal },
  events: {
    'plugin.list': owner('plugin.list', 'r'),
    'plugin.show': { ...owner('plugin.show', 'r'), name: 'hello' },
    'plugin.pull': { ...owner('plugin.pull', 'r'), url: 'https://example.org/p.git', commit: '', ssh: false },
    'plugin.remove': { ...owner('plugin.remove', 'r'), name: 'hello' },
    'plugin.run': run,
    'run.emitted (progress)': { type: 'run.emitted', fact: { type: 'plugin.progress', requestId: 'r', ...step } },
    'run.emitted (finished)': {
      type: 'run.emitted',
      fact: { type: 'plugin.finished', requestId: 'r', name: 'hello', members: [] },
    },
    'run.emitted (failed)': {
      type: 'run.emitted',
      fact: { type: 'plugin.runFailed', requestId: 'r', members: [], ...new AppError('interrupted').toJSON() },
    },
    'request.abandoned': abandoned('r'),
  },
  situations: {
    'without a request': [],
    'a short command': ['plugin.list'],
    running: ['plugin.run'],
    'running for two': ['plugin.run', 'plugin.run'],
    'stopping an abandoned run': ['plugin.run', 'request.abandoned'],
  },
})

const plan: RunPlan = {
  name: 'hello',
  folder: '/run/plugin',
  stock: false,
  members: [{ member: 'a', id: containerIdOf('a'), host: '10.0.0.1', ports: [] }],
}
const counts = { ok: 3, changed: 1, failures: 0, unreachable: 0 }

export const pluginRunSamples = samplesOf(pluginRunMachine, {
  input: { command: run, signal, parent },
  events: {
    'play.task': { type: 'play.task', step },
    'play.ended': { type: 'play.ended', stats: { a: counts } },
    'play.ended (a member failed)': { type: 'play.ended', stats: { a: { ...counts, failures: 1 } } },
    'play.failed': { type: 'play.failed', failure: new AppError('plugin_failed').toJSON() },
    'run.abandon': { type: 'run.abandon' },
    'done prepare': done('prepare', plan),
    'error prepare': failed('prepare', new AppError('not_found', { kind: 'plugin', id: 'hello' })),
    'error play': failed('play', new Error('it threw')),
    'after deadline': passed('deadline', 'pluginRun.playing'),
    'done finalize': done('finalize'),
    'error finalize': failed('finalize', new AppError('disk_failed')),
  },
  situations: {
    preparing: [],
    'abandoned while it prepares': ['run.abandon'],
    playing: ['done prepare'],
    played: ['done prepare', 'play.ended'],
    'played, and a member failed': ['done prepare', 'play.ended (a member failed)'],
    'abandoned while it plays': ['done prepare', 'run.abandon'],
    'too late': ['done prepare', 'after deadline'],
    ended: ['done prepare', 'play.ended', 'done finalize'],
  },
})
