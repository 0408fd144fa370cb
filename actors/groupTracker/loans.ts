import PQueue from 'p-queue'
import { AppError } from '../../protocol/errors.ts'
import type { TrackContainersFile, TrackedContainer } from '../../protocol/files/loans.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { knownHostsText } from '../../protocol/ssh.ts'
import { replace } from '../home/atomicFile.ts'
import { writeLoanExtras } from '../home/loanExtras.ts'
import type { Store } from '../store.ts'

/** The tracked loans: `trackcontainers.json`, and the `known_hosts` file that is derived from it. */
export interface Loans {
  all(): Loan[]
  /** Returns the loan whose id is `ref` or begins with it. Throws `not_found` or `ambiguous`. */
  find(ref: string): Loan
  /**
   * Stores the loan without its passwords and replaces an older record of the same id. Rejects with `disk_failed`, and
   * with `protocol_error` if another lender lent the container of that id: a hostile one would take its place.
   */
  track(loan: Loan): Promise<void>
  /** Changes a record. Does nothing if there is no such record. Rejects with `disk_failed`. */
  change(id: ContainerId, change: (loan: Loan) => Loan): Promise<void>
  /** Marks ports, by their numbers inside the container, as used by a plugin. */
  usePorts(id: ContainerId, plugin: string, internal: readonly number[]): Promise<void>
  /** Records where the lender and the published ports of `located` are reached now, and pins its key there. Rejects with `disk_failed`. */
  move(located: Loan): Promise<void>
  /** Removes a record. Does nothing if there is no such record of this lender. Rejects with `disk_failed`. */
  forget(loan: Pick<Loan, 'ID' | 'NodeId'>): Promise<void>
}

/** The files that are derived from the records. */
export interface LoanFiles {
  knownHosts: string
  /** What Go P2PRC drops when it writes the records; see `loanExtras.ts`. */
  extras: string
}

export function createLoans(store: Store<TrackContainersFile>, { knownHosts, extras }: LoanFiles): Loans {
  // Several files change together, so changes run one after another.
  const changes = new PQueue({ concurrency: 1 })
  const all = (): Loan[] => store.data.TrackContainer
  /** The derived files are written before the records, because ssh refuses a container whose key is not pinned. */
  const write = async (next: (loans: Loan[]) => Loan[]) => {
    await replace(knownHosts, knownHostsText(next(all())))
    await writeLoanExtras(extras, next(all()))
    await store.update(changed(next))
  }
  const change: Loans['change'] = (id, changeOne) =>
    changes.add(() => write((loans) => loans.map((loan) => (loan.ID === id ? changeOne(loan) : loan))))
  return {
    all,
    find: (ref) => findLoan(all(), ref),
    track: (loan) =>
      changes.add(async () => {
        const tracked = all().find(({ ID }) => ID === loan.ID)
        if (tracked && !isSameLender(tracked, loan))
          throw new AppError('protocol_error', {
            where: loan.IpAddress,
            why: 'its reply names a container of another lender',
          })
        const next = (loans: Loan[]) => [...loans.filter(({ ID }) => ID !== loan.ID), loan]
        await write(next)
      }),
    change,
    usePorts: (id, plugin, internal) =>
      change(id, (loan) => ({
        ...loan,
        Container: { ...loan.Container, Ports: used(loan.Container.Ports, plugin, internal) },
      })),
    move: (located) => change(located.ID, (loan) => movedTo(loan, located)),
    forget: (loan) =>
      changes.add(async () => {
        const isMeant = (one: Loan) => one.ID === loan.ID && isSameLender(one, loan)
        if (!all().some(isMeant)) return
        await store.update(changed((loans) => loans.filter((one) => !isMeant(one))))
        // A superfluous key is harmless, and the next change removes it.
        await replace(knownHosts, knownHostsText(all())).catch(() => {})
        await writeLoanExtras(extras, all()).catch(() => {})
      }),
  }
}

/** Returns the loan among `loans` whose id is `ref` or begins with it. Throws `not_found` or `ambiguous`. */
export function findLoan(loans: readonly Loan[], ref: string): Loan {
  const matches = loans.filter(({ ID }) => ID.startsWith(ref))
  const found = matches.find(({ ID }) => ID === ref) ?? matches[0]
  if (!found) throw new AppError('not_found', { kind: 'borrowed container', id: ref })
  if (matches.length > 1 && found.ID !== ref) {
    const shown = matches.slice(0, 8).map(({ ID }) => ID.slice(0, 12))
    throw new AppError('ambiguous', { id: ref, kind: 'borrowed container', matches: shown.join(', ') })
  }
  return found
}

function isSameLender(one: Pick<Loan, 'NodeId'>, other: Pick<Loan, 'NodeId'>): boolean {
  return one.NodeId === other.NodeId
}

/** Returns the record as it is written, without passwords: a password appears only in the reply that contained it. */
export function withoutSecrets(loan: Loan): TrackedContainer {
  return { ...loan, Container: { ...loan.Container, SSHPassword: '', VNCPassword: '' } }
}

function changed(change: (loans: Loan[]) => Loan[]): (file: TrackContainersFile) => TrackContainersFile {
  return (file) => ({ ...file, TrackContainer: change(file.TrackContainer).map(withoutSecrets) })
}

/** Returns the record with the endpoints of `located`. Whatever else has changed meanwhile stays. */
function movedTo(loan: Loan, { IpAddress, Endpoint, Container }: Loan): Loan {
  const published = loan.Container.Ports.Port.map((one) => {
    const at = Container.Ports.Port.find(
      ({ ExternalPort, Type }) => ExternalPort === one.ExternalPort && Type === one.Type,
    )
    return at ? { ...one, Endpoint: at.Endpoint } : one
  })
  return {
    ...loan,
    IpAddress,
    Endpoint,
    Container: { ...loan.Container, Ports: { ...loan.Container.Ports, Port: published } },
  }
}

function used(
  { Port }: Loan['Container']['Ports'],
  plugin: string,
  internal: readonly number[],
): Loan['Container']['Ports'] {
  const isMeant = ({ InternalPort }: { InternalPort: number }) => internal.includes(InternalPort)
  return { Port: Port.map((port) => (isMeant(port) ? { ...port, IsUsed: true, UsedBy: plugin } : port)) }
}
