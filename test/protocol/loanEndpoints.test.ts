import assert from 'node:assert/strict'
import { test } from 'node:test'
import { atEndpoint, type Loan, lenderEndpoint, portEndpoint } from '../../protocol/loanRecord.ts'
import { directEndpoint, formatEndpoint } from '../../protocol/net/endpoint.ts'
import { recordOf } from '../support/cliHomes.ts'

const direct = (host: string, port: number) => directEndpoint({ host, port })
const portsOf = (loan: Loan) => loan.Container.Ports.Port.map((port) => formatEndpoint(portEndpoint(loan, port)))

test('a loan and each of its published ports carry the endpoint at which the lender answers', () => {
  const record = recordOf('a', 20_001)
  for (const [host, lender, port] of [
    ['192.0.2.7', '192.0.2.7:8088', '192.0.2.7:20001'],
    ['2001:db8::1', '[2001:db8::1]:8088', '[2001:db8::1]:20001'],
    ['anna.example', 'anna.example:8088', 'anna.example:20001'],
  ] as const) {
    const loan = atEndpoint(record, direct(host, 8_088))
    assert.deepEqual([loan.IpAddress, loan.Endpoint, formatEndpoint(lenderEndpoint(loan))], [lender, lender, lender])
    assert.equal(loan.Container.Ports.Port[0]?.Endpoint, port)
    assert.deepEqual(portsOf(loan), [port])
  }
})

test('a port that has an endpoint of its own is reached there, whatever the address of its lender', () => {
  const loan = atEndpoint(recordOf('a', 20_001), direct('192.0.2.7', 8_088))
  const [port] = loan.Container.Ports.Port
  assert.ok(port)
  const relay = { ...port, Endpoint: '203.0.113.9:40001' }
  assert.deepEqual(portEndpoint(loan, relay), direct('203.0.113.9', 40_001))
})

test('a record of Go, and one of a kind that this version does not know, are read from the address', () => {
  const go = { ...recordOf('a', 20_001), IpAddress: '198.51.100.3:8088' }
  for (const Endpoint of [undefined, '', 'relayed://relay.example/7']) {
    const loan = { ...go, ...(Endpoint !== undefined && { Endpoint }) }
    assert.deepEqual(lenderEndpoint(loan), direct('198.51.100.3', 8_088))
    assert.deepEqual(portsOf(loan), ['198.51.100.3:20001'])
  }
  assert.throws(() => lenderEndpoint({ IpAddress: 'not an address' }), { code: 'bad_address' })
})
