import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { request } from '../request.ts'

/** What plugins need of the containers that this node has borrowed. */
export interface LoanRequests {
  /** The loans that a container id, the beginning of one, or a group means. Rejects with `not_found` or `ambiguous`. */
  members: (id: string, signal: AbortSignal) => Promise<Loan[]>
  /** Records that these ports, by their numbers inside the container, are in use now. Rejects with `disk_failed`. */
  usePorts: (id: ContainerId, ports: number[], signal: AbortSignal) => Promise<void>
}

/** Asks the concern that tracks loans, over the bus. An abort of `signal` rejects with `abandoned`. */
export function createLoanRequests(bus: Bus<BusEvent>): LoanRequests {
  const own = () => ({ requestId: randomUUID(), caller: 'owner' }) as const
  return {
    async members(id, signal) {
      const fact = await request(bus, { ...own(), type: 'loan.resolve', id }, { signal })
      if (fact.type !== 'loan.resolved') throw new Error(`loan.resolve was answered with ${fact.type}`)
      return fact.loans
    },
    async usePorts(id, ports, signal) {
      await request(bus, { ...own(), type: 'loan.usePorts', id, ports }, { signal })
    },
  }
}
