import { AppError } from '../../protocol/errors.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import type { MemberResult, Plugin } from '../../protocol/pluginRunner.ts'
import { freePorts, portsOf } from '../ssh/inventory.ts'

type Ports = MemberResult['ports']

/**
 * Tracks which ports of loans belong to runs in progress: the records of the loans mark them as used only afterwards.
 */
export function createPortAllocator() {
  const taken = new Map<ContainerId, Set<number>>()
  return {
    /**
     * Returns as many ports as the plugin requests, in P2PRC's order: those that its former run got, then free ones.
     * Throws `ports_short`.
     */
    free(loan: Loan, { name, ports: count }: Pick<Plugin, 'name' | 'ports'>): Ports {
      const free = [...portsOf(loan, name), ...freePorts(loan)].filter(
        ({ internal }) => !taken.get(loan.ID)?.has(internal),
      )
      if (free.length >= count) return free.slice(0, count)
      throw new AppError('ports_short', { name, count, id: loan.ID.slice(0, 12), free: free.length })
    },
    take(id: ContainerId, ports: Ports): void {
      taken.set(id, new Set([...(taken.get(id) ?? []), ...ports.map(({ internal }) => internal)]))
    },
    release(id: ContainerId, ports: Ports): void {
      for (const { internal } of ports) taken.get(id)?.delete(internal)
      if (taken.get(id)?.size === 0) taken.delete(id)
    },
  }
}
