import { reachabilityMachine } from '../../../machines/reachability.ts'
import { AppError } from '../../../protocol/errors.ts'
import { parseEndpoints } from '../../../protocol/net/endpoint.ts'
import { done, passed, samplesOf } from '../../support/playTable.ts'
import { abandoned, nodeIdOf, owner } from './common.ts'

const [outside, lan] = parseEndpoints(['20.0.0.1:8088', '192.168.1.2:8088'])
if (!outside || !lan) throw new Error('no endpoint')
const failure = new AppError('timed_out', { where: '20.0.0.1:8088', ms: 5_000 }).toJSON()
const opened = (link: string, letter: string) =>
  ({ type: 'link.opened', link, id: nodeIdOf(letter), dialled: true, address: '20.0.0.9:8088' }) as const
const self = (endpoints: string[], port = 8_088) =>
  ({ type: 'table.selfAddressesChanged', endpoints: parseEndpoints(endpoints), port }) as const
const answered = (letter: string, endpoint: typeof outside, more = {}) =>
  done('requestDialBack', { answers: [{ by: nodeIdOf(letter), endpoint, ...more }], at: 9 })

export const reachabilitySamples = samplesOf(reachabilityMachine, {
  input: { port: 8_088, signal: new AbortController().signal },
  events: {
    'link.opened': opened('l', 'a'),
    'link.opened b': opened('m', 'b'),
    'link.closed': { type: 'link.closed', link: 'l', id: nodeIdOf('a'), why: 'lost' },
    'table.selfAddressesChanged': self(['192.168.1.2:8088']),
    'table.selfAddressesChanged to no port': self([], 0),
    'reach.show': owner('reach.show', 's'),
    'reach.dialBack': { ...owner('reach.dialBack', 'd'), caller: nodeIdOf('c'), from: '20.0.0.3', port: 8_088 },
    'dialBack.ended': { type: 'dialBack.ended', requestId: 'd', endpoint: outside },
    'dialBack.ended without an answer': { type: 'dialBack.ended', requestId: 'd', endpoint: outside, failure },
    'dialBack.ended refused': { type: 'dialBack.ended', requestId: 'd', refused: new AppError('too_many').toJSON() },
    'request.abandoned': abandoned('d'),
    'done requestDialBack': answered('a', outside),
    'done requestDialBack, not reached': answered('a', outside, { failure }),
    'done requestDialBack in the LAN': answered('a', lan),
    'done requestDialBack without an answer': done('requestDialBack', { answers: [], at: 9 }),
    'after interval': passed('interval', 'reachability.waiting'),
  },
  situations: {
    'nobody is linked': [],
    'asking a peer': ['link.opened'],
    'asking the first of two': ['link.opened', 'link.opened b'],
    'it was reached': ['link.opened', 'done requestDialBack'],
    'it was not reached': ['link.opened', 'done requestDialBack, not reached'],
    'dialling back': ['reach.dialBack'],
    'dialling back for two': ['reach.dialBack', 'reach.dialBack'],
    'a process that does not listen': {
      input: { port: 0, signal: new AbortController().signal },
      after: ['link.opened'],
    },
  },
})
