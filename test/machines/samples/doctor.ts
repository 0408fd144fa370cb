import { doctorMachine } from '../../../machines/doctor.ts'
import { samplesOf } from '../../support/playTable.ts'
import { abandoned, owner } from './common.ts'

const finding = { check: 'disk', state: 'ok', what: 'It can be written', at: 1 } as const
const endpoint = { kind: 'punched', host: '203.0.113.9', port: 8_088 } as const

export const doctorSamples = samplesOf(doctorMachine, {
  input: { endpoints: [], signal: new AbortController().signal },
  events: {
    'doctor.examine': { ...owner('doctor.examine', 'r'), where: 'there' },
    'check.ended': { type: 'check.ended', requestId: 'r', finding },
    'examination.ended': { type: 'examination.ended', requestId: 'r', findings: [finding] },
    'table.selfAddressesChanged': { type: 'table.selfAddressesChanged', endpoints: [endpoint], port: 8_088 },
    'request.abandoned': abandoned('r'),
  },
  situations: {
    'without a request': [],
    examining: ['doctor.examine'],
    'examining for two': ['doctor.examine', 'doctor.examine'],
  },
})
