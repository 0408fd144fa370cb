import { randomUUID } from 'node:crypto'
import type { Bus } from '../../protocol/bus.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { request } from '../request.ts'

/** What the plugin runner needs to know about the containers that this node has borrowed. */
export interface LoanRequests {
  /**
   * Resolves with the loans that a container id, an id prefix or a group refers to. Rejects with `not_found` or
   * `ambiguous`.
   */
  members: (id: string, signal: AbortSignal) => Promise<Loan[]>
  /** Marks these ports, given by their numbers inside the container, as used by a plugin. Rejects with `disk_failed`. */
  usePorts: (id: ContainerId, plugin: string, ports: number[], signal: AbortSignal) => Promise<void>
}

/** Sends the requests over the bus to the group tracker. They reject with `abandoned` when `signal` aborts. */
export function createLoanRequests(bus: Bus<BusEvent>): LoanRequests {
  const own = () => ({ requestId: randomUUID(), caller: 'owner' }) as const
  return {
    async members(id, signal) {
      const fact = await request(bus, { ...own(), type: 'loan.resolve', id }, { signal })
      if (fact.type !== 'loan.resolved') throw new Error(`loan.resolve was answered with ${fact.type}`)
      return fact.loans
    },
    async usePorts(id, plugin, ports, signal) {
      await request(bus, { ...own(), type: 'loan.usePorts', id, plugin, ports }, { signal })
    },
  }
}
