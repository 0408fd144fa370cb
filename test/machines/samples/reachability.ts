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

const confirmedBy = (endpoint: typeof outside, more = {}) =>
  done('confirmMapping', { answers: [{ by: nodeIdOf('a'), endpoint, ...more }], at: 12 })

const unreachable = ['link.opened', 'done requestDialBack, not reached'] as const
const mapped = [...unreachable, 'router.mapped', 'done confirmMapping'] as const
const another = ['router.mapped', 'done confirmMapping, not reached'] as const

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
    'router.mapped': { type: 'router.mapped', externalPort: 8_088, by: 'UPnP', at: 10 },
    'router.refused': { type: 'router.refused', at: 11, ...new AppError('router_refused').toJSON() },
    'network.changed': { type: 'network.changed' },
    'done confirmMapping': confirmedBy(outside),
    'done confirmMapping, not reached': confirmedBy(outside, { failure }),
    'done confirmMapping in the LAN': confirmedBy(lan),
    'after interval, of a confirmed mapping': passed('interval', 'reachability.mapping.held.confirmed'),
    'after interval, of a refused one': passed('interval', 'reachability.mapping.refused'),
    'after interval': passed('interval', 'reachability.dialling.waiting'),
    'after pause': passed('pause', 'reachability.dialling.paused'),
  },
  situations: {
    'nobody is linked': [],
    'asking a peer': ['link.opened'],
    'asking the first of two': ['link.opened', 'link.opened b'],
    'it was reached': ['link.opened', 'done requestDialBack'],
    'it was not reached: the router is asked': unreachable,
    'the router maps': [...unreachable, 'router.mapped'],
    'it is reached through the router': mapped,
    'it is confirmed again': [...mapped, 'after interval, of a confirmed mapping'],
    'the router maps nothing': [...unreachable, 'router.refused'],
    'another port is tried': [...unreachable, ...another],
    'peers are asked anew meanwhile': [...unreachable, ...another, 'after interval'],
    'it maps the last port': [...unreachable, ...another, ...another, 'router.mapped'],
    'dialling back': ['reach.dialBack'],
    'dialling back for two': ['reach.dialBack', 'reach.dialBack'],
    'a process that does not listen': {
      input: { port: 0, signal: new AbortController().signal },
      after: ['link.opened'],
    },
  },
})
