import { z } from 'zod'
import { containerManagerCommands, outputLine } from './containerManager.ts'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, done, type FactSpecs, type FactsOf, failed } from './facts.ts'
import { groupCommands, groupFacts } from './groups.ts'
import { containerId } from './ids.ts'
import { heldContainer, loan, loanRef, loanState, takeOptions } from './loanRecord.ts'
import type { RequestFact } from './request.ts'

export type { HeldContainer, Loan, LoanState } from './loanRecord.ts'

const where = z.string().min(1).max(512)
const { follow, tail } = containerManagerCommands['container.logs'].schema.shape

/** The borrower's commands. A loan is a container of another node that this node has borrowed. */
const loanCommands = {
  'loan.take': {
    schema: takeOptions.extend({ where }),
    action: 'administer',
    terminalEvents: ['loan.taken', 'loan.takeFailed'],
  },
  'loan.return': {
    /**
     * With `where`, the container is removed from the node there and from no other; it need not be tracked. `forget`
     * removes the record even if the lender does not confirm.
     */
    schema: z.object({ id: loanRef, where: where.optional(), forget: z.boolean().default(false) }),
    action: 'administer',
    terminalEvents: ['loan.returned', 'loan.returnFailed'],
  },
  'loan.list': { schema: z.object({}), action: 'administer', terminalEvents: ['loan.listed', 'loan.listFailed'] },
  /** Asks the node at `where` for all containers that it lends to this one, tracked or not. */
  'loan.listHeld': {
    schema: z.object({ where }),
    action: 'administer',
    terminalEvents: ['loan.heldListed', 'loan.listHeldFailed'],
  },
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
  /** Returns the members of a group (`grp…` or its name), or one loan, from the records; sends nothing to a lender. */
  'loan.resolve': {
    schema: z.object({ id: z.string().min(1).max(128) }),
    action: 'administer',
    terminalEvents: ['loan.resolved', 'loan.resolveFailed'],
  },
  /** Records that a plugin uses ports. They have their numbers inside the container. */
  'loan.usePorts': {
    schema: z.object({
      id: loanRef,
      plugin: z.string().max(64),
      ports: z.array(z.number().int().min(0).max(65_535)).max(256),
    }),
    action: 'administer',
    terminalEvents: ['loan.portsUsed', 'loan.usePortsFailed'],
  },
} as const satisfies Record<string, CommandSpec>

export const groupTrackerCommands = { ...loanCommands, ...groupCommands }

/** How to open a shell in a loan: the arguments for `ssh`, without the name of the program. */
const loanAccess = z.object({ loan, sshArgs: z.array(z.string()) })

export type LoanAccess = z.infer<typeof loanAccess>

const loanFacts = {
  'loan.progress': answer({ step: z.string(), line: z.string() }),
  'loan.taken': answer({ loan }),
  'loan.takeFailed': failed,
  'loan.returned': answer({ id: containerId }),
  'loan.returnFailed': failed,
  'loan.listed': answer({ loans: z.array(loan.extend({ state: loanState })) }),
  'loan.listFailed': failed,
  'loan.heldListed': answer({ held: z.array(heldContainer.extend({ tracked: z.boolean() })) }),
  'loan.listHeldFailed': failed,
  'loan.found': answer(loanAccess.shape),
  'loan.findFailed': failed,
  'loan.logged': answer(outputLine.shape),
  'loan.logsEnded': done,
  'loan.logsFailed': failed,
  'loan.resolved': answer({ loans: z.array(loan) }),
  'loan.resolveFailed': failed,
  'loan.portsUsed': answer({ id: containerId, ports: z.array(z.number()) }),
  'loan.usePortsFailed': failed,
  /** All loans, without secrets. Emitted at the start and at every change. */
  'loan.changed': z.object({ loans: z.array(loan) }),
} as const satisfies FactSpecs

export const groupTrackerFacts = { ...loanFacts, ...groupFacts }

export type LoanEmits = FactsOf<typeof loanFacts>

export type GroupTrackerEmits = FactsOf<typeof groupTrackerFacts>

export type GroupTrackerCommand = CommandsOf<typeof groupTrackerCommands>

export type GroupTrackerAccepts = GroupTrackerCommand | RequestFact
