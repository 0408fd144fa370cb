import { lookup } from 'node:dns/promises'
import { isDeepStrictEqual } from 'node:util'
import { fromCallback, fromPromise } from 'xstate'
import type {
  CrawlInput,
  IpTableInternalEvent,
  ProbeInput,
  ResolveDnsInput,
  SaveInput,
} from '../machines/ipTable/ipTablePorts.ts'
import type { Self } from '../machines/ipTable/peerTable.ts'
import { ipTableMachine } from '../machines/ipTable.ts'
import { ANSWERED_AT_INTERVAL_MS } from '../protocol/defaults/ipTable.ts'
import type { IpTableFile, TableEntry } from '../protocol/files/ipTable.ts'
import type { Endpoint } from '../protocol/net/endpoint.ts'
import { crawl } from './ipTable/crawl.ts'
import { watchAddresses } from './ipTable/listening.ts'
import { probe } from './ipTable/probe.ts'
import type { Dialer } from './net/dialer.ts'
import { openScope } from './scope.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export interface IpTableDependencies {
  /** Opened with `ipTableFile`, `emptyIpTable` and `IP_TABLE_INDENT`. */
  store: Store<IpTableFile>
  /**
   * Returns this node's current addresses. A process that listens nowhere has port 0, so that no address is its own.
   */
  self: () => Omit<Self, 'information'>
  dialer: Dialer
  /** `Test` of `config.json`: anonymous callers may name loopback addresses. */
  test?: boolean
  /** Whether to probe peers in the background, as a running node does. False for a single command without a node. */
  watch?: boolean
  /** The path to which the store moved an unreadable table. */
  quarantined?: string
  /** The endpoints that could still be read from it. */
  recovered?: readonly Endpoint[]
}

/** The table of peers: it keeps the file, probes the peers and resolves names to addresses. */
export function createIpTable(dependencies: IpTableDependencies): ConcernParts<typeof ipTableMachine> {
  const { store, self, dialer, test = false, watch = true, quarantined, recovered } = dependencies
  return {
    name: 'ipTable',
    logic: ipTableMachine.provide({
      actors: {
        save: fromPromise<void, SaveInput>(({ input: { file } }) =>
          isSame(store.data, file, watch) ? Promise.resolve() : store.write(file),
        ),
        resolveDns: fromCallback<IpTableInternalEvent, ResolveDnsInput>(({ input: { requestId, at }, sendBack }) => {
          lookup(at.host).then(
            () => sendBack({ type: 'resolveDns.ended', requestId, found: { endpoints: [at] } }),
            () => sendBack({ type: 'resolveDns.ended', requestId, found: null }),
          )
        }),
        probe: fromCallback<IpTableInternalEvent, ProbeInput>(({ input, sendBack }) => {
          const { signal, end } = openScope(input.signal)
          void probe({ ...input, signal }, dialer).then((outcome) =>
            sendBack({ type: 'probe.ended', key: input.key, outcome }),
          )
          return end
        }),
        crawl: fromCallback<IpTableInternalEvent, CrawlInput>(({ input, sendBack }) => {
          const { signal, end } = openScope(input.signal)
          const { requestId } = input
          crawl({ ...input, signal }, { dialer, test, report: sendBack }).then(
            (named) => sendBack({ type: 'crawl.ended', requestId, named }),
            () => sendBack({ type: 'crawl.ended', requestId, named: [] }),
          )
          return end
        }),
        watchAddresses: fromCallback<IpTableInternalEvent, { signal: AbortSignal }>(({ input, sendBack }) => {
          const read = () => {
            const { addresses, advertisable } = self()
            return { addresses: [...addresses], advertisable: [...advertisable] }
          }
          return watchAddresses(
            read,
            (changed) => sendBack({ type: 'self.addressesChanged', ...changed }),
            input.signal,
          )
        }),
      },
    }),
    input: (signal, retained) => ({
      file: store.data,
      self: { ...self(), information: retained['record.ownSigned']?.record.customInformation ?? '' },
      startedAt: Date.now(),
      watch,
      test,
      signal,
      ...(quarantined && { quarantined }),
      ...(recovered && { recovered }),
      relayed: retained['port.nodeRelayed']?.endpoints ?? [],
      ...(retained['reach.changed'] && { dialled: retained['reach.changed'].endpoints }),
      ...(retained['node.addressFound'] && { publicAddress: retained['node.addressFound'].address }),
    }),
    retains: ['record.ownSigned', 'node.addressFound', 'port.nodeRelayed', 'reach.changed'],
  }
}

/**
 * Whether a file says the same. A running node answers for its peers itself, so that it does not write the file for each
 * of their answers: only every ten minutes, or with another change.
 */
function isSame(before: IpTableFile, now: IpTableFile, watch: boolean): boolean {
  if (!watch) return isDeepStrictEqual(before, now)
  const { ip_address: listedBefore, Dormant: dormantBefore = [], ...restBefore } = before
  const { ip_address: listed, Dormant: dormant = [], ...rest } = now
  return isDeepStrictEqual(restBefore, rest) && isSameList(listedBefore, listed) && isSameList(dormantBefore, dormant)
}

function isSameList(before: readonly TableEntry[], now: readonly TableEntry[]): boolean {
  if (before.length !== now.length) return false
  return now.every((entry, at) => {
    const other = before[at] as TableEntry
    return entry === other || isDeepStrictEqual(stable(entry), stable(other))
  })
}

/** Returns an entry without what changes at each answer. */
function stable({ RAMFree: _free, Load: _load, AnsweredAt = 0, ...entry }: TableEntry): object {
  return { ...entry, answered: Math.floor(AnsweredAt / ANSWERED_AT_INTERVAL_MS) }
}
