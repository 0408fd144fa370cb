import { certificateMachine } from '../../../machines/relay/certificate.ts'
import { done, failed, passed, samplesOf } from '../../support/playTable.ts'

const day = 86_400_000

export const certificateSamples = samplesOf(certificateMachine, {
  isPrivate: true,
  input: { name: 'shop.example.org', renewInMs: 0 },
  events: {
    'done order': done('0.certificate.ordering', { renewInMs: 60 * day }),
    'error order': failed('0.certificate.ordering', new Error('the name leads elsewhere')),
    'after untilCheck': passed('untilCheck', 'certificate.valid'),
    'after backoff': passed('backoff', 'certificate.waiting'),
  },
  situations: {
    'the first order': [],
    'issued for a long time': ['done order'],
    'the last day': { input: { name: 'shop.example.org', renewInMs: day / 2 }, after: [] },
    'the order failed': ['error order'],
  },
})
