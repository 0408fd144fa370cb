import { fromCallback, fromPromise } from 'xstate'
import { groupCreateMachine, type NewGroup } from '../machines/groupCreate.ts'
import { type Errand, groupTrackerMachine } from '../machines/groupTracker.ts'
import { type ErrandSays, type LenderSays, loanMachine, type TakeCommand } from '../machines/loan.ts'
import { Fault, toFailure } from '../protocol/errors.ts'
import type { GroupTrackContainersFile, TrackContainersFile } from '../protocol/files.ts'
import type { Group } from '../protocol/groups.ts'
import type { Loan } from '../protocol/groupTracker.ts'
import type { ContainerId } from '../protocol/ids.ts'
import { type Borrower, returnAll, runErrand } from './groupTracker/errands.ts'
import { createGroups, type Groups } from './groupTracker/groups.ts'
import { createLender } from './groupTracker/lender.ts'
import { createLoans, type Loans } from './groupTracker/loans.ts'
import type { Nearest } from './groupTracker/nearest.ts'
import type { Identity } from './identity.ts'
import type { Resolve } from './ipTable.ts'
import type { PeerClient } from './peerClient.ts'
import type { Store } from './store.ts'
import type { ConcernParts } from './supervise.ts'

export interface GroupTrackerDependencies {
  /** `trackcontainers.json`, opened with `trackContainersFile` and tabs. */
  store: Store<TrackContainersFile>
  /** `grouptrackcontainers.json`, opened with `openGroupStore` of groupFile.ts. */
  groupStore: Store<GroupTrackContainersFile>
  resolve: Resolve
  nearest: Nearest
  peers: PeerClient
  identity: Pick<Identity, 'publicKey'>
  paths: { knownHosts: string; key: string }
}

/** The concern, and the records for those who read them beside it: plugins, `ssh-config`, the inventory. */
export type GroupTracker = ConcernParts<typeof groupTrackerMachine> & {
  loans: Loans
  groups: Groups
  /** The loans that a container id, the beginning of one, a group's id or its name means. Throws `not_found`, `ambiguous`. */
  members(ref: string): Loan[]
}

/** The borrower's side: loans taken from other nodes, and groups of them. */
export function createGroupTracker(dependencies: GroupTrackerDependencies): GroupTracker {
  const { store, groupStore, resolve, nearest, peers, identity, paths } = dependencies
  const files = { knownHosts: paths.knownHosts, key: paths.key }
  const loans = createLoans(store, paths.knownHosts)
  const groups = createGroups(groupStore, loans)
  const lender = createLender({ resolve, peers, identity, files })
  const borrower: Borrower = { loans, groups, lender, files }
  let life = new AbortController().signal
  const during = (signal: AbortSignal) => AbortSignal.any([signal, life])

  /** Callback logic that runs `work` until it is stopped; `work` never rejects. */
  const working = <E extends { type: string }, I>(
    work: (input: I, say: (event: E) => void, signal: AbortSignal) => Promise<E>,
  ) =>
    fromCallback<E, I>(({ input, sendBack }) => {
      const own = new AbortController()
      const say = sendBack as (event: E) => void
      void work(input, say, during(own.signal)).then(say)
      return () => own.abort()
    })

  const take = loanMachine.provide({
    actors: {
      ask: working<LenderSays, TakeCommand>((command, say, signal) =>
        lender
          .take(command, (step, line) => say({ type: 'lender.progress', step, line }), signal)
          .then(
            async (loan) => {
              // Nobody hears of it any more; stopped children are not listened to.
              if (signal.aborted) await lender.remove(loan, life).catch(() => {})
              return { type: 'lender.gave', loan }
            },
            (error) => ({ type: 'lender.failed', ...toFailure(error) }),
          ),
      ),
      track: fromPromise<void, Loan>(({ input }) => loans.track(input)),
      giveBack: fromPromise<void, Loan>(async ({ input, signal }) => {
        await lender.remove(input, during(signal))
        await loans.forget(input.ID)
      }),
      sweep: fromPromise<void, TakeCommand>(({ input, signal }) => lender.sweep(input, during(signal))),
    },
  })
  const createGroup = groupCreateMachine.provide({
    actors: {
      take,
      check: fromPromise<void, NewGroup>(async ({ input }) => {
        groups.checkName(input.name)
        for (const ref of input.members) loans.find(ref)
      }),
      findNearest: fromPromise<string[], number>(({ input, signal }) => nearest(input, during(signal))),
      write: fromPromise<Group, NewGroup>(({ input }) =>
        groups.create(
          input.name,
          input.members.map((ref) => loans.find(ref)),
        ),
      ),
      giveBack: fromPromise<void, ContainerId[]>(async ({ input, signal }) => {
        const members = input.map((ID) => ({ ID }))
        await returnAll(borrower, members, () => {}, during(signal))
      }),
    },
  })
  const errand = working<ErrandSays, Errand>(async (command, say, signal) => ({
    type: 'errand.ended',
    requestId: command.requestId,
    fact: await runErrand(borrower, command, (fact) => say({ type: 'errand.said', fact }), signal),
  }))

  return {
    name: 'groupTracker',
    logic: groupTrackerMachine.provide({ actors: { take, createGroup, errand } }),
    input: (signal) => {
      life = signal
      return undefined
    },
    hears: [
      'loan.take',
      'loan.return',
      'loan.list',
      'loan.find',
      'loan.logs',
      'group.create',
      'group.list',
      'group.show',
      'group.add',
      'group.remove',
      'group.delete',
      'group.exec',
      'request.abandoned',
    ],
    loans,
    groups,
    members(ref) {
      try {
        return groups.find(ref).TrackContainer
      } catch (error) {
        if (ref.startsWith('grp') || !isMissing(error)) throw error
      }
      try {
        return [loans.find(ref)]
      } catch (error) {
        throw isMissing(error) ? new Fault('not_found', { kind: 'group or borrowed container', id: ref }) : error
      }
    },
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Fault && error.code === 'not_found'
}
