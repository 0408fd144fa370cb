import { fromCallback, fromPromise } from 'xstate'
import { groupCreateMachine, type NewGroup } from '../machines/groupCreate.ts'
import { groupTrackerMachine, type SimpleRequest } from '../machines/groupTracker.ts'
import { type ChildEmits, type LenderEmits, loanMachine, type TakeCommand } from '../machines/loan.ts'
import { ROLLBACK_TIMEOUT_MS } from '../protocol/defaults/groupTracker.ts'
import { toFailure } from '../protocol/errors.ts'
import type { GroupTrackContainersFile, TrackContainersFile } from '../protocol/files/loans.ts'
import type { Group } from '../protocol/groups.ts'
import type { Loan } from '../protocol/groupTracker.ts'
import type { ContainerId } from '../protocol/ids.ts'
import type { Endpoint } from '../protocol/net/endpoint.ts'
import type { SshFiles } from '../protocol/ssh.ts'
import { createGroups } from './groupTracker/groups.ts'
import { createLenderClient } from './groupTracker/lenderClient.ts'
import { createLoans, type LoanFiles } from './groupTracker/loans.ts'
import type { Nearest } from './groupTracker/nearest.ts'
import { executeRequest, type RequestServices, returnAll } from './groupTracker/requests.ts'
import { withShownPorts } from './groupTracker/shownPorts.ts'
import type { Identity } from './identity.ts'
import type { Dialer } from './net/dialer.ts'
import { createPeerClient } from './net/peerClient.ts'
import type { Resolve } from './net/resolve.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export interface GroupTrackerDependencies {
  /** `trackcontainers.json`, opened with `trackContainersFile` and tabs. */
  store: Store<TrackContainersFile>
  /** `grouptrackcontainers.json`, opened with `openGroupStore` of groupFile.ts. */
  groupStore: Store<GroupTrackContainersFile>
  resolve: Resolve
  nearest: Nearest
  dialer: Dialer
  identity: Pick<Identity, 'publicKey'>
  paths: LoanFiles & SshFiles
}

/**
 * The borrower's side: loans taken from other nodes, and groups of them. It publishes what is borrowed at the start of
 * each scope and after every change. `settled` resolves when the takes that were under way at the end of the scope have
 * been rolled back: a container that nobody was told about must not stay at its lender.
 */
export function createGroupTracker(
  dependencies: GroupTrackerDependencies,
): ConcernParts<typeof groupTrackerMachine> & { settled(): Promise<void> } {
  const { store, groupStore, resolve, nearest, dialer, identity, paths } = dependencies
  const loans = createLoans(store, paths)
  const groups = createGroups(groupStore, loans)
  /**
   * Moves every loan of a lender, because it may have several at its former address. A failed write is repeated after
   * the next request to the lender.
   */
  const onMoved = async ({ NodeId, IpAddress }: Loan, endpoint: Endpoint, signal: AbortSignal) => {
    const moved = loans.all().filter((loan) => loan.NodeId === NodeId && loan.IpAddress === IpAddress)
    await Promise.allSettled(moved.map(async (loan) => loans.move(await withShownPorts(peers, loan, endpoint, signal))))
  }
  const peers = createPeerClient(dialer)
  const lenderClient = createLenderClient({ resolve, dialer, peers, identity, files: paths, onMoved })
  const services: RequestServices = { loans, groups, lenderClient, resolve, files: paths }
  let scope = new AbortController().signal
  const scoped = (signal: AbortSignal) => AbortSignal.any([signal, scope])

  /** Takes and rollbacks that have not ended. */
  const pending = new Set<Promise<unknown>>()
  const untilEnded = <T>(work: Promise<T>): Promise<T> => {
    const ended = work.catch(() => {}).finally(() => pending.delete(ended))
    pending.add(ended)
    return work
  }
  /** Runs a rollback, which goes on if the actor or the concern stops meanwhile, up to its own time limit. */
  const rollBack = (work: (signal: AbortSignal) => Promise<void>) =>
    untilEnded(work(AbortSignal.timeout(ROLLBACK_TIMEOUT_MS)))

  /** Returns callback logic that runs `work` and aborts it when the actor stops. `work` never rejects. */
  const cancellable = <E extends { type: string }, I>(
    work: (input: I, emit: (event: E) => void, signal: AbortSignal) => Promise<E>,
  ) =>
    fromCallback<E, I>(({ input, sendBack }) => {
      const controller = new AbortController()
      const emit = sendBack as (event: E) => void
      void work(input, emit, scoped(controller.signal)).then(emit)
      return () => controller.abort()
    })

  const take = loanMachine.provide({
    actors: {
      requestContainer: cancellable<LenderEmits, TakeCommand>((command, emit, signal) =>
        untilEnded(
          lenderClient
            .take(command, (step, line) => emit({ type: 'lender.progress', step, line }), signal)
            .then(
              async (loan) => {
                // Nobody receives this loan any more: a stopped child's events are dropped.
                if (signal.aborted) await rollBack((limit) => lenderClient.rollBack(loan, limit)).catch(() => {})
                return { type: 'lender.created', loan }
              },
              async (error) => {
                // The machine, which would ask for this, was stopped together with the concern.
                if (signal.aborted && signal.reason === scope.reason)
                  await rollBack((limit) => lenderClient.cleanUpOrphan(command, limit)).catch(() => {})
                return { type: 'lender.failed', ...toFailure(error) }
              },
            ),
        ),
      ),
      track: fromPromise<void, Loan>(({ input }) => loans.track(input)),
      rollBack: fromPromise<void, Loan>(({ input }) =>
        rollBack(async (limit) => {
          await lenderClient.rollBack(input, limit)
          await loans.forget(input)
        }),
      ),
      cleanUpOrphan: fromPromise<void, TakeCommand>(({ input }) =>
        rollBack((limit) => lenderClient.cleanUpOrphan(input, limit)),
      ),
    },
  })
  const createGroup = groupCreateMachine.provide({
    actors: {
      take,
      check: fromPromise<void, NewGroup>(async ({ input }) => {
        groups.checkName(input.name)
        for (const ref of input.members) loans.find(ref)
      }),
      findNearest: fromPromise<string[], number>(({ input, signal }) => nearest(input, scoped(signal))),
      write: fromPromise<Group, NewGroup>(({ input }) =>
        groups.create(
          input.name,
          input.members.map((ref) => loans.find(ref)),
        ),
      ),
      rollBack: fromPromise<void, ContainerId[]>(async ({ input, signal }) => {
        const members = input.map((ID) => ({ ID }))
        await returnAll(services, members, () => {}, scoped(signal))
      }),
    },
  })
  const request = cancellable<ChildEmits, SimpleRequest>(async (command, emit, signal) => ({
    type: 'child.ended',
    requestId: command.requestId,
    fact: await executeRequest(services, command, (fact) => emit({ type: 'child.emitted', fact }), signal),
  }))

  const watchRecords = fromCallback<{ type: 'none' }, void, ChildEmits>(({ sendBack }) => {
    const emitLoans = () => sendBack({ type: 'child.emitted', fact: { type: 'loan.changed', loans: [...loans.all()] } })
    emitLoans()
    for (const group of groups.all())
      sendBack({ type: 'child.emitted', fact: { type: 'group.changed', id: group.ID, group } })
    const undo = store.onChange(emitLoans)
    // A crash of the machine does not stop its children.
    scope.addEventListener('abort', undo, { once: true })
    return undo
  })

  return {
    name: 'groupTracker',
    logic: groupTrackerMachine.provide({ actors: { take, createGroup, request, watchRecords } }),
    input: (signal) => {
      scope = signal
      return undefined
    },
    async settled() {
      while (pending.size > 0) await Promise.all(pending)
    },
  }
}
