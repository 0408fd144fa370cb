import PQueue from 'p-queue'
import type { SimpleRequest } from '../../machines/groupTracker.ts'
import { CONCURRENT_TAKES_MAX } from '../../protocol/defaults/groupTracker.ts'
import { AppError, fromFailure, toAppError, toFailure } from '../../protocol/errors.ts'
import type { Group, MemberFailure } from '../../protocol/groups.ts'
import { type GroupTrackerEmits, groupTrackerCommands, type Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { type SshFiles, sshArgs } from '../../protocol/ssh.ts'
import type { Resolve } from '../net/resolve.ts'
import { execOnAll } from './groupExec.ts'
import type { Groups } from './groups.ts'
import type { LenderClient } from './lenderClient.ts'
import { findLoan, type Loans } from './loans.ts'
import { locateAll } from './locate.ts'
import { findMembers } from './members.ts'
import { refreshStates } from './refreshStates.ts'

export interface RequestServices {
  loans: Loans
  groups: Groups
  lenderClient: LenderClient
  resolve: Resolve
  files: SshFiles
}

type Emit = (fact: GroupTrackerEmits) => void

/** Executes one command and resolves with its finishing fact, also when that is a failure. Never rejects. */
export async function executeRequest(
  services: RequestServices,
  command: SimpleRequest,
  emit: Emit,
  signal: AbortSignal,
): Promise<GroupTrackerEmits> {
  try {
    return await execute(services, command, emit, signal)
  } catch (error) {
    const type = groupTrackerCommands[command.type].terminalEvents[1]
    return { type, requestId: command.requestId, ...toFailure(error) } as GroupTrackerEmits
  }
}

async function execute(
  services: RequestServices,
  command: SimpleRequest,
  emit: Emit,
  signal: AbortSignal,
): Promise<GroupTrackerEmits> {
  const { loans, groups, lenderClient, files } = services
  const { requestId } = command
  const changed = (group: Group): Group => {
    emit({ type: 'group.changed', id: group.ID, group })
    return group
  }
  switch (command.type) {
    case 'loan.return':
      return { type: 'loan.returned', requestId, id: await returnOne(services, command, emit, signal) }
    case 'loan.list': {
      const states = await refreshStates(lenderClient, loans.all(), signal)
      const listed = loans.all().map((loan) => ({ ...loan, state: states.get(loan.ID) ?? 'unknown' }))
      return { type: 'loan.listed', requestId, loans: listed }
    }
    case 'loan.listHeld': {
      const tracked = new Set<string>(loans.all().map(({ ID }) => ID))
      const held = await lenderClient.listHeld(command.where, signal)
      const listed = held.map((one) => ({ ...one, tracked: tracked.has(one.id) }))
      return { type: 'loan.heldListed', requestId, held: listed }
    }
    case 'loan.find': {
      const [loan] = (await locateAll(services, [loans.find(command.id)], signal)) as [Loan]
      return { type: 'loan.found', requestId, loan, sshArgs: sshArgs(loan, files) }
    }
    case 'loan.logs': {
      const { id, follow, tail } = command
      await lenderClient.logs(
        loans.find(id),
        { follow, tail },
        (stream, line) => emit({ type: 'loan.logged', requestId, stream, line }),
        signal,
      )
      return { type: 'loan.logsEnded', requestId }
    }
    case 'loan.resolve':
      return {
        type: 'loan.resolved',
        requestId,
        loans: await locateAll(services, findMembers(loans, groups, command.id), signal),
      }
    case 'loan.usePorts': {
      const { ID } = loans.find(command.id)
      await loans.usePorts(ID, command.plugin, command.ports)
      return { type: 'loan.portsUsed', requestId, id: ID, ports: command.ports }
    }
    case 'group.list':
      return { type: 'group.listed', requestId, groups: groups.all() }
    case 'group.show': {
      const group = groups.find(command.id)
      const states = await refreshStates(lenderClient, group.TrackContainer, signal)
      const members = group.TrackContainer.map((loan) => ({ ...loan, state: states.get(loan.ID) ?? 'unknown' }))
      return { type: 'group.shown', requestId, group: { ...group, TrackContainer: members } }
    }
    case 'group.add': {
      const members = command.members.map((ref) => loans.find(ref))
      return { type: 'group.added', requestId, group: changed(await groups.add(groups.find(command.id).ID, members)) }
    }
    case 'group.remove': {
      const group = await groups.remove(groups.find(command.id).ID, command.members)
      return { type: 'group.removed', requestId, group: changed(group) }
    }
    case 'group.delete': {
      const { ID, Name, TrackContainer } = groups.find(command.id)
      const returned = command.containers
        ? await returnAll(services, TrackContainer, emit, signal)
        : { done: [], failures: [] }
      const [failure] = returned.failures
      if (failure) {
        const counts = `${returned.failures.length} of ${TrackContainer.length} containers`
        const message = `${counts} could not be given back, so the group "${Name || ID}" stays with them.`
        return { type: 'group.deleteFailed', requestId, code: failure.code, message, failures: returned.failures }
      }
      await groups.delete(ID)
      emit({ type: 'group.changed', id: ID, group: null })
      return { type: 'group.deleted', requestId, id: ID, returned: returned.done }
    }
    case 'group.exec': {
      const { ID, TrackContainer } = groups.find(command.id)
      if (TrackContainer.length === 0) throw new AppError('group_empty', { id: command.id })
      const last = groups.failed(ID)
      const chosen = TrackContainer.filter((loan) => !command.retryFailed || last.members.includes(loan.ID))
      const members = await locateAll(services, chosen, signal)
      const words = command.command.length === 0 && command.retryFailed ? last.command : command.command
      if (words.length === 0 && members.length > 0)
        throw new AppError('bad_request', { why: 'There is no command to run' })
      const results = await execOnAll(
        members,
        words,
        files,
        {
          onLine: (id, stream, line) => emit({ type: 'group.output', requestId, id, stream, line }),
          onEnded: (result) => emit({ type: 'group.memberEnded', requestId, ...result }),
        },
        signal,
      )
      const failed = results.filter(({ exit }) => exit !== 0).map(({ id }) => id)
      await groups.setFailed(ID, { members: failed, command: words })
      return { type: 'group.executed', requestId, results, failed }
    }
  }
}

/**
 * Returns one container to its lender and removes it from the records and the groups. A container whose removal the
 * lender did not confirm stays recorded, except with `forget`. With `where`, no other node is asked.
 */
async function returnOne(
  services: RequestServices,
  { id, where, forget = false }: { id: string; where?: string | undefined; forget?: boolean },
  emit: Emit,
  signal: AbortSignal,
): Promise<ContainerId> {
  const { loans, lenderClient, resolve } = services
  const to = where === undefined ? undefined : await resolve(where, signal)
  const matches = loans.all().filter((loan) => !to || (loan.ID.startsWith(id) && lenderClient.isLender(loan, to)))
  if (to && matches.length === 0) {
    const removed = await lenderClient.removeAt(to, id, signal)
    await drop(services, removed, emit)
    return removed.ID
  }
  const loan = findLoan(matches, id)
  await lenderClient.remove(loan, signal).catch((error: unknown) => {
    if (forget && !signal.aborted) return
    const { code, message } = toAppError(error)
    if (code !== 'unreachable' && code !== 'timed_out') throw error
    throw fromFailure({ code, message: `${message} If it is gone for good, \`p2prc rm ${id.slice(0, 12)} --forget\`.` })
  })
  await drop(services, loan, emit)
  return loan.ID
}

/** Removes a container of this lender from the records and the groups, if it is in any. */
async function drop({ loans, groups }: RequestServices, loan: Pick<Loan, 'ID' | 'NodeId'>, emit: Emit): Promise<void> {
  await loans.forget(loan)
  if (loans.all().some(({ ID }) => ID === loan.ID)) return
  for (const group of await groups.dropMember(loan.ID)) emit({ type: 'group.changed', id: group.ID, group })
}

/** Returns several containers, `CONCURRENT_TAKES_MAX` at a time. A member that is no longer tracked was returned earlier. */
export async function returnAll(
  services: RequestServices,
  members: readonly Pick<Loan, 'ID'>[],
  emit: Emit,
  signal: AbortSignal,
): Promise<{ done: ContainerId[]; failures: MemberFailure[] }> {
  const queue = new PQueue({ concurrency: CONCURRENT_TAKES_MAX })
  const [done, failures]: [ContainerId[], MemberFailure[]] = [[], []]
  const tracked = new Set(services.loans.all().map(({ ID }) => ID))
  await queue.addAll(
    members
      .filter(({ ID }) => tracked.has(ID))
      .map(({ ID }) => async () => {
        try {
          done.push(await returnOne(services, { id: ID }, emit, signal))
        } catch (error) {
          failures.push({ member: ID, ...toFailure(error) })
        }
      }),
  )
  return { done, failures }
}
