import type { TakeCommand } from '../../machines/loan.ts'
import { ROLLBACK_TIMEOUT_MS } from '../../protocol/defaults/groupTracker.ts'
import { AppError, toAppError } from '../../protocol/errors.ts'
import type { HeldContainer, Loan, LoanState } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { Answer } from '../../protocol/index.ts'
import { lenderEndpoint } from '../../protocol/loanRecord.ts'
import { type Endpoint, formatEndpoint, isSameEndpoint } from '../../protocol/net/endpoint.ts'
import { type SshFiles, shellLine, sshArgs } from '../../protocol/ssh.ts'
import { lenderContainerId, lenderEntry, lenderList, lenderReply } from '../../protocol/wire/lender.ts'
import { type Identity, parsePublicKey } from '../identity.ts'
import type { Dialer, DialTarget } from '../net/dialer.ts'
import type { PeerClient, PeerRequestOptions } from '../net/peerClient.ts'
import type { Resolve } from '../net/resolve.ts'
import { removeAtGoNode } from './goLender.ts'
import { withShownPorts } from './shownPorts.ts'

export interface LenderClientDependencies {
  resolve: Resolve
  dialer: Dialer
  peers: PeerClient
  identity: Pick<Identity, 'publicKey'>
  files: SshFiles
  /** Called when a loan's lender answered at an address other than the recorded one. Never rejects. */
  onMoved: (loan: Loan, endpoint: Endpoint, signal: AbortSignal) => Promise<void>
}

/**
 * Sends requests to lenders. Replies are validated, because a lender may be hostile. Every method rejects with an
 * `AppError`.
 */
export interface LenderClient {
  take(command: TakeCommand, onProgress: (step: string, line: string) => void, signal: AbortSignal): Promise<Loan>
  /** Resolves when the lender no longer has the container, whether it was removed now or before. */
  remove(loan: Loan, signal: AbortSignal): Promise<void>
  /** Removes a container where it was taken a moment ago, without looking for other addresses of its lender. */
  rollBack(loan: Loan, signal: AbortSignal): Promise<void>
  /** Removes a container that is not tracked. Resolves with its full id and its lender, if the lender reports them. */
  removeAt(to: DialTarget, id: string, signal: AbortSignal): Promise<Pick<Loan, 'ID' | 'NodeId'>>
  /** Removes the container that the lender created for a request whose reply never arrived, if there is one. */
  cleanUpOrphan(command: TakeCommand, signal: AbortSignal): Promise<void>
  /** Resolves with the states of all containers that one lender lends to this node, by id. */
  list(loan: Loan, signal: AbortSignal): Promise<Map<string, LoanState>>
  /**
   * Resolves with the record as it is reached now. Only a lender behind a router is asked: the ports of the others do not
   * move while their addresses stay.
   */
  located(loan: Loan, signal: AbortSignal): Promise<Loan>
  /** Resolves with all containers that the node there lends to this one, tracked or not. */
  listHeld(where: string, signal: AbortSignal): Promise<HeldContainer[]>
  /** Returns whether `to` is the lender of the loan, by its key or else by its recorded address. */
  isLender(loan: Loan, to: DialTarget): boolean
  logs(
    loan: Loan,
    options: { follow: boolean; tail: number },
    onLine: (stream: 'stdout' | 'stderr', line: string) => void,
    signal: AbortSignal,
  ): Promise<void>
}

export function createLenderClient({
  resolve,
  dialer,
  peers,
  identity,
  files,
  onMoved,
}: LenderClientDependencies): LenderClient {
  /** Returns the dial target of a loan's lender: the endpoints where its key was proved last, then the recorded one. */
  async function lenderOf(loan: Loan, signal: AbortSignal): Promise<DialTarget> {
    const { NodeId: id } = loan
    const recorded = recordedEndpoints(loan)
    if (!id) return { endpoints: recorded }
    const known = await resolve(id, signal).catch(() => ({ endpoints: [] }))
    return { id, endpoints: [...known.endpoints, ...recorded] }
  }

  async function requestFromLender(loan: Loan, command: { type: string; [key: string]: unknown }, options: Options) {
    const target = await lenderOf(loan, options.signal)
    const answer = await peers.request(target, command, options)
    // The last endpoint is the recorded one. If the table lists it too, the lender has not moved but has several
    // endpoints.
    const recorded = target.endpoints.at(-1)
    const isListed = target.endpoints.slice(0, -1).some((each) => recorded && isSameEndpoint(each, recorded))
    if (recorded && !isListed && !isSameEndpoint(answer.endpoint, recorded))
      await onMoved(loan, answer.endpoint, options.signal)
    return answer
  }

  async function parseEntries(pending: Promise<{ fact: Answer }>) {
    const { fact } = await pending
    const entries = lenderList.safeParse(fact.type === 'container.listed' ? fact.containers : null)
    if (!entries.success)
      throw new AppError('protocol_error', { where: 'The lender', why: 'its list is not in the known form' })
    return entries.data.flatMap((entry) => lenderEntry.safeParse(entry).data ?? [])
  }

  const requestRemoval = (to: DialTarget, id: string, signal: AbortSignal) =>
    peers.request(to, { type: 'container.remove', id }, { signal })

  /**
   * Removes a container from a lender whose key is not known: as a node, or else as a Go node, and as a node from which Go
   * P2PRC borrowed it over plain HTTP.
   */
  async function removeFromUnknown(to: DialTarget, id: string, signal: AbortSignal) {
    try {
      return await requestRemoval(to, id, signal)
    } catch (error) {
      if (!IS_PERHAPS_GO.has(toAppError(error).code)) throw error
      await removeAtGoNode(dialer, to, id, signal).catch((goError: unknown) => {
        throw toAppError(goError).code === 'engine_failed' ? goError : error
      })
      return undefined
    }
  }

  /** Where each take was sent, so that what it left can be removed even while the node stops. */
  const targets = new Map<string, DialTarget>()

  return {
    async take(command, onProgress, signal) {
      const { requestId, where, password, ports, udpPorts, gpu, image } = command
      const key = command.key.trim()
      if (key) parsePublicKey(key)
      const to = await resolve(where, signal)
      targets.set(requestId, to)
      const payload = { requestId, key: password ? '' : key || identity.publicKey, ports, udpPorts, gpu, image }
      const onFact = (fact: Answer) => {
        if (fact.type === 'container.progress') onProgress(String(fact.step), String(fact.line))
      }
      const { fact, id, endpoint } = await peers.request(
        to,
        { type: 'container.create', ...payload },
        { onFact, signal },
      )
      const container: unknown = 'container' in fact ? fact.container : undefined
      const reply = lenderReply.safeParse(container)
      if (!reply.success) {
        const created = lenderContainerId.safeParse((container as { ID?: unknown } | undefined)?.ID)
        if (created.success) await requestRemoval({ id, endpoints: [endpoint] }, created.data, signal).catch(() => {})
        const issue = reply.error.issues[0]
        const why = `its reply is not in the known form (${issue?.path.join('.')}: ${issue?.message})`
        throw new AppError('protocol_error', { where: formatEndpoint(endpoint), why })
      }
      const taken: Loan = {
        ID: reply.data.ID,
        Container: reply.data,
        IpAddress: '',
        NodeId: id,
        Auth: password ? 'password' : key ? 'userKey' : 'nodeKey',
        ...(key && command.keyFile && { KeyFile: command.keyFile.replace(/\.pub$/, '') }),
      }
      const loan = await withShownPorts(peers, taken, endpoint, signal).catch(async (error: unknown) => {
        // Nobody would reach it.
        await requestRemoval({ id, endpoints: [endpoint] }, taken.ID, AbortSignal.timeout(ROLLBACK_TIMEOUT_MS)).catch(
          () => {},
        )
        throw error
      })
      targets.delete(requestId)
      return { ...loan, Container: { ...loan.Container, SSHCommand: `ssh ${shellLine(sshArgs(loan, files))}` } }
    },

    async remove(loan, signal) {
      if (loan.NodeId)
        await ignoreNotFound(requestFromLender(loan, { type: 'container.remove', id: loan.ID }, { signal }))
      else await ignoreNotFound(removeFromUnknown({ endpoints: recordedEndpoints(loan) }, loan.ID, signal))
    },

    async rollBack(loan, signal) {
      const { NodeId: id } = loan
      await ignoreNotFound(requestRemoval({ ...(id && { id }), endpoints: recordedEndpoints(loan) }, loan.ID, signal))
    },

    async removeAt(to, id, signal) {
      const answer = await removeFromUnknown(to, id, signal)
      const fullId = lenderContainerId.safeParse(answer && 'id' in answer.fact ? answer.fact.id : undefined)
      return { ID: fullId.success ? fullId.data : (id as ContainerId), ...(answer && { NodeId: answer.id }) }
    },

    async cleanUpOrphan({ requestId, where }, signal) {
      const to = targets.get(requestId) ?? (await resolve(where, signal))
      targets.delete(requestId)
      for (const entry of await parseEntries(peers.request(to, { type: 'container.list' }, { signal }))) {
        if (entry.requestId === requestId) await ignoreNotFound(requestRemoval(to, entry.id, signal))
      }
    },

    async list(loan, signal) {
      const entries = await parseEntries(requestFromLender(loan, { type: 'container.list' }, { signal }))
      return new Map(entries.map(({ id, state }) => [id, state]))
    },

    async located(loan, signal) {
      if (recordedEndpoints(loan).every(({ kind }) => kind === 'direct')) return loan
      // It says where the lender is reached now.
      const { endpoint } = await peers.request(await lenderOf(loan, signal), { type: 'port.list' }, { signal })
      return withShownPorts(peers, loan, endpoint, signal)
    },

    async listHeld(where, signal) {
      const to = await resolve(where, signal)
      return parseEntries(peers.request(to, { type: 'container.list' }, { signal }))
    },

    isLender: (loan, to) =>
      loan.NodeId && to.id
        ? loan.NodeId === to.id
        : recordedEndpoints(loan).some((recorded) => to.endpoints.some((each) => isSameEndpoint(each, recorded))),

    async logs(loan, options, onLine, signal) {
      const onFact = (fact: Answer) => {
        if (fact.type === 'container.logged') onLine(fact.stream === 'stderr' ? 'stderr' : 'stdout', String(fact.line))
      }
      await requestFromLender(loan, { type: 'container.logs', id: loan.ID, ...options }, { onFact, signal })
    },
  }
}

/** The failures of a removal after which the other end may be a Go node, or may have lent to this one as to a stranger. */
const IS_PERHAPS_GO: ReadonlySet<string> = new Set(['protocol_error', 'not_found', 'not_trusted'])

/** A record with an invalid address has no endpoint, and the dialer says so. */
function recordedEndpoints(loan: Loan): Endpoint[] {
  try {
    return [lenderEndpoint(loan)]
  } catch {
    return []
  }
}

type Options = PeerRequestOptions & { signal: AbortSignal }

async function ignoreNotFound(removing: Promise<unknown>): Promise<void> {
  await removing.catch((error: unknown) => {
    if (toAppError(error).code !== 'not_found') throw error
  })
}
