import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { openGroupStore } from '../../actors/groupTracker/groupFile.ts'
import { createGroups } from '../../actors/groupTracker/groups.ts'
import { createLoans } from '../../actors/groupTracker/loans.ts'
import { findMembers } from '../../actors/groupTracker/members.ts'
import { createGroupTracker } from '../../actors/groupTracker.ts'
import { loadIdentity } from '../../actors/identity.ts'
import { createDialer, type DialTarget } from '../../actors/net/dialer.ts'
import { request } from '../../actors/request.ts'
import { openStore } from '../../actors/store.ts'
import { supervise } from '../../actors/supervise.ts'
import type { TakeCommand } from '../../machines/loan.ts'
import { createBus } from '../../protocol/bus.ts'
import { AppError } from '../../protocol/errors.ts'
import { trackContainersFile } from '../../protocol/files/loans.ts'
import { type BusEvent, type Command, commands, type Fact } from '../../protocol/index.ts'
import { parseAddress } from '../../protocol/net/address.ts'
import { directEndpoint } from '../../protocol/net/endpoint.ts'
import { openFakeLender } from './fakeLender.ts'
import { record } from './harness.ts'

/** Opens a borrower with real files in its own folder, and the requested number of lenders with real listeners. */
export async function openFakeBorrower(
  context: TestContext,
  { lenders: count = 1, folder }: { lenders?: number; folder?: string } = {},
) {
  const home = folder ?? (await mkdtemp(join(tmpdir(), 'p2prc-loans ')))
  const path = (name: string) => join(home, name)
  const lenders = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await mkdir(path(`lender${index}`), { recursive: true })
      return openFakeLender(path(`lender${index}`), undefined, { numberedFrom: 100 * index + 1 })
    }),
  )
  const identity = await loadIdentity({ key: path('key'), publicKey: path('key.pub') }, 'borrower')
  for (const lender of lenders) lender.rights.trusted.add(identity.id)
  const damaged: string[] = []
  const onDamaged = (quarantinePath: string) => damaged.push(quarantinePath)
  const empty = () => trackContainersFile.parse({})
  const store = await openStore(path('track.json'), { schema: trackContainersFile, empty, indent: '\t', onDamaged })
  const groupStore = await openGroupStore(path('groups.json'), onDamaged)
  /** The dial targets of nodes by name or key, in place of the IP table. */
  const table = new Map<string, DialTarget>()
  const resolve = async (where: string) => {
    const known = table.get(where)
    if (known) return known
    if (where.startsWith('SHA256:') || where === 'nobody') throw new AppError('not_found', { kind: 'peer', id: where })
    return { endpoints: [directEndpoint(parseAddress(where))] }
  }
  const nearest = async (count: number) => lenders.slice(0, count).map(({ address }) => address)
  const paths = {
    knownHosts: path('known hosts'),
    acceptedHosts: path('accepted'),
    key: path('key'),
    extras: path('loans.json'),
  }
  const bus = createBus<BusEvent>()
  const events = record(bus)
  const dialer = createDialer({ identity, publish: (fact) => bus.publish(fact) })
  const parts = createGroupTracker({ store, groupStore, resolve, nearest, dialer, identity, paths })
  const concern = supervise(parts, { bus })
  concern.start()
  // The records, which the test reads and changes beside the concern.
  const loans = createLoans(store, paths)
  const groups = createGroups(groupStore, loans)
  const tracker = { loans, groups, members: (ref: string) => findMembers(loans, groups, ref) }
  let requests = 0
  const send = (type: Command['type'], payload: object = {}, options: Parameters<typeof request>[2] = {}) => {
    requests += 1
    return request(
      bus,
      {
        type,
        requestId: `r${requests}`,
        caller: 'owner',
        ...commands.get(type)?.schema.parse(payload),
        ...payload,
      } as Command,
      options,
    )
  }
  async function stop() {
    concern.stop()
    bus.close()
    await Promise.all(lenders.map((lender) => lender.stop()))
  }
  context.after(async () => {
    await stop()
    if (!folder) await rm(home, { recursive: true })
  })
  const read = (name: string) => readFile(path(name), 'utf8').catch(() => '')
  const [lender] = lenders
  return {
    home,
    path,
    read,
    lenders,
    lender: lender as NonNullable<typeof lender>,
    identity,
    bus,
    events,
    tracker,
    table,
    send,
    damaged,
    stop,
    /** Stops the concern as the end of its process does. */
    async stopConcern() {
      concern.stop()
      await parts.settled()
    },
  }
}

export type FactOf<T extends Fact['type']> = Extract<Fact, { type: T }>

/** Returns the error code with which a command was rejected. */
export async function refusal(answer: Promise<unknown>): Promise<string> {
  return answer.then(
    (fact) => assert.fail(`it answered ${JSON.stringify(fact)}`),
    (error: AppError) => error.code,
  )
}

export const takeCommand = (requestId: string, where = 'friend'): TakeCommand => ({
  type: 'loan.take',
  requestId,
  caller: 'owner',
  where,
  key: '',
  ports: 0,
  udpPorts: 0,
  gpu: false,
  image: '',
  password: false,
  keyFile: '',
})
