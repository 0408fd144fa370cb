import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Identity, loadIdentity } from '../../actors/identity.ts'
import type { Machine } from '../support/namespaces.ts'
import { makeNatLab, type NatLab, type RouterKind } from '../support/natLab.ts'
import type { Tried } from '../support/punchedNode.ts'

/** `npm run soak -- nat` tries each pair of routers as often as the figures of the issue say. */
const isFull = process.env.P2PRC_SOAK === 'full'
const tries = isFull ? 20 : 1

/**
 * How long a stream may take to become direct. A symmetric router is punched by chance: 99.7 of 100 within this time, so
 * that a test of one try has a second one.
 */
const PUNCH_MS = 30_000

/** How long a stream that no direct path is expected for is used. */
const RELAYED_MS = 2_000

interface Pair {
  routers: readonly [RouterKind, RouterKind]
  /** The part of the tries that must move to a direct path. */
  punched: number
  ms: number
}

const pairs: readonly Pair[] = [
  { routers: ['portRestricted', 'portRestricted'], punched: 0.95, ms: PUNCH_MS },
  { routers: ['portRestricted', 'symmetric'], punched: 0.9, ms: PUNCH_MS },
  { routers: ['symmetric', 'symmetric'], punched: 0, ms: RELAYED_MS },
]

const script = ['--import', 'tsx', join(import.meta.dirname, '../support/punchedNode.ts')]
const identityOf = ({ home }: Machine): Promise<Identity> =>
  loadIdentity({ key: join(home, 'key'), publicKey: join(home, 'key.pub') }, 'node')

let lab: NatLab
let relay: Machine
let relayArgs: [host: string, port: string]

before(async () => {
  lab = await makeNatLab({
    publicMachines: 1,
    routers: pairs.flatMap(({ routers }) => routers.map((kind) => ({ kind }))),
  })
  relay = lab.publicMachines[0] as Machine
  relayArgs = [relay.address, '8088']
  await identityOf(relay)
  await relay.start(process.execPath, [...script, 'relay', relay.home, ...relayArgs], /dht\.started/)
})
after(() => lab.close())

/** Dials one machine from the other over a new listener and new sockets. */
async function tryOnce(from: Machine, to: Machine, ms: number): Promise<Tried> {
  const { publicKey: relayKey } = await identityOf(relay)
  const { id, publicKey } = await identityOf(to)
  await identityOf(from)
  const listener = await to.start(process.execPath, [...script, 'listen', to.home, ...relayArgs, relayKey], /listens/)
  try {
    const args = [...script, 'connect', from.home, ...relayArgs, publicKey, id, String(ms)]
    return JSON.parse(await from.run(process.execPath, ...args)) as Tried
  } finally {
    listener.kill('SIGKILL')
  }
}

test('nodes behind routers reach each other over a relay, and move to a direct path in the same stream', async (t) => {
  const results = await Promise.all(
    pairs.map(async ({ ms, punched }, at) => {
      const [one, other] = [2 * at, 2 * at + 1].map((index) => lab.routers[index]?.machines[0] as Machine)
      const reached: Tried[] = []
      const isPunched = () => reached.some(({ directMs }) => directMs !== null)
      for (let count = 0; count < tries || (!isFull && count < 2 && punched > 0 && !isPunched()); count++) {
        // Each of the two is the one that dials.
        const [from, to] = (count % 2 === 0 ? [one, other] : [other, one]) as [Machine, Machine]
        const tried = await tryOnce(from, to, ms).catch((error: Error) => error)
        if (tried instanceof Error) t.diagnostic(tried.message)
        else reached.push(tried)
      }
      return reached
    }),
  )
  for (const [at, { routers }] of pairs.entries()) {
    const reached = results[at] as Tried[]
    const direct = reached.flatMap(({ directMs }) => directMs ?? [])
    const opened = reached.map(({ openedMs }) => openedMs)
    t.diagnostic(
      `${routers.join(' ↔ ')}: ${reached.length} of ${tries} reached, opened after ${median(opened)} ms (at most ${Math.max(...opened)}); ` +
        `${direct.length} punched${direct.length > 0 ? `, after ${median(direct)} ms` : ''}`,
    )
  }
  for (const [at, { routers, punched }] of pairs.entries()) {
    const reached = results[at] as Tried[]
    const direct = reached.filter(({ directMs }) => directMs !== null).length
    assert.ok(reached.length >= tries, `${routers.join(' ↔ ')} reached: ${reached.length} of ${tries}`)
    assert.ok(direct >= punched * tries, `${routers.join(' ↔ ')} punched: ${direct} of ${tries}`)
    if (punched === 0) for (const { wasRelayed, echoes } of reached) assert.ok(wasRelayed && echoes > 1)
  }
})

function median(values: readonly number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor((values.length - 1) / 2)] ?? Number.NaN
}
