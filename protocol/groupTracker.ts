import { z } from 'zod'
import type { ContainerReply, ContainerSummary } from './containerManager.ts'
import { containerManagerCommands } from './containerManager.ts'
import type { CommandSpec, CommandsOf } from './control.ts'
import { type GroupEmits, groupCommands } from './groups.ts'
import type { ContainerId, Failure, NodeId } from './ids.ts'
import { loanRef, takeOptions } from './loanRecord.ts'
import type { RequestFact } from './request.ts'

const where = z.string().min(1).max(512)
const { follow, tail } = containerManagerCommands['container.logs'].schema.shape

/** The borrower's side. A loan is a container of another node that this node has taken. */
const loanCommands = {
  'loan.take': {
    schema: takeOptions.extend({ where }),
    action: 'administer',
    terminalEvents: ['loan.taken', 'loan.takeFailed'],
  },
  'loan.return': {
    /** `where` only for a container that is not tracked here. `forget`: even where its lender does not confirm. */
    schema: z.object({ id: loanRef, where: where.optional(), forget: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['loan.returned', 'loan.returnFailed'],
  },
  'loan.list': { schema: z.object({}), action: 'administer', terminalEvents: ['loan.listed', 'loan.listFailed'] },
  'loan.find': {
    schema: z.object({ id: loanRef }),
    action: 'administer',
    terminalEvents: ['loan.found', 'loan.findFailed'],
  },
  'loan.logs': {
    schema: z.object({ id: loanRef, follow, tail }),
    action: 'administer',
    terminalEvents: ['loan.logsEnded', 'loan.logsFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export const groupTrackerCommands = { ...loanCommands, ...groupCommands }

/** A tracked container: P2PRC's record (`ID`, `Container`, `IpAddress`), and what P2PRC did not know. */
export interface Loan {
  ID: ContainerId
  Container: ContainerReply
  /** The lender's `ip:port`, `[v6]:port` or `name:port`, where it answered when the container was taken. */
  IpAddress: string
  /** The lender's key; absent in records that Go P2PRC wrote. */
  NodeId?: NodeId
  /** What opens its shell: this node's key, a key of the user's, or the password of the one reply. */
  Auth?: 'nodeKey' | 'userKey' | 'password'
  /** The user's private key file, where it is known. */
  KeyFile?: string
}

/** The lender's present word, or why there is none. `unknown`: a Go node, which has none to give. */
export type LoanState = ContainerSummary['state'] | 'gone' | 'unreachable' | 'refused' | 'unknown'

/** How to reach a loan's shell: an argument list for `ssh`, without the program's name. */
export interface LoanAccess {
  loan: Loan
  sshArgs: string[]
}

export type LoanEmits =
  | { type: 'loan.progress'; requestId: string; step: string; line: string }
  | { type: 'loan.taken'; requestId: string; loan: Loan }
  | ({ type: 'loan.takeFailed'; requestId: string } & Failure)
  | { type: 'loan.returned'; requestId: string; id: ContainerId }
  | ({ type: 'loan.returnFailed'; requestId: string } & Failure)
  | { type: 'loan.listed'; requestId: string; loans: (Loan & { state: LoanState })[] }
  | ({ type: 'loan.listFailed'; requestId: string } & Failure)
  | ({ type: 'loan.found'; requestId: string } & LoanAccess)
  | ({ type: 'loan.findFailed'; requestId: string } & Failure)
  | { type: 'loan.logged'; requestId: string; stream: 'stdout' | 'stderr'; line: string }
  | { type: 'loan.logsEnded'; requestId: string }
  | ({ type: 'loan.logsFailed'; requestId: string } & Failure)

export type GroupTrackerEmits = LoanEmits | GroupEmits

export type GroupTrackerCommand = CommandsOf<typeof groupTrackerCommands>

export type GroupTrackerAccepts = GroupTrackerCommand | RequestFact
