import { dhtMachine } from '../../../machines/relay/dht.ts'
import { passed, samplesOf } from '../../support/playTable.ts'

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
