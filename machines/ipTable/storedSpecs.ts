import type { TableEntry } from '../../protocol/files/ipTable.ts'
import type { Specs } from '../../protocol/specs.ts'
import { receivedSpecs } from '../../protocol/wire/specs.ts'

/** The specifications of a peer's machine as the file of the table keeps them. */

export type StoredSpecs = Pick<TableEntry, 'Cores' | 'RAM' | 'RAMFree' | 'Disk' | 'Load' | 'GPUs'>

export function storedSpecs({ Cores, RAM, RAMFree, Disk, Load, GPUs, GPU }: Specs): StoredSpecs {
  const cards = GPUs.length > 0 ? GPUs : GPU ? [GPU.Gpu] : []
  return { Cores, RAM, RAMFree, Disk, Load, GPUs: cards.map(({ GpuName }) => GpuName) }
}

/** Returns the specifications that an entry keeps, the others empty; null if it keeps none. */
export function specsIn({ Cores, RAM, RAMFree, Disk, Load, GPUs = [] }: StoredSpecs): Specs | null {
  if (Cores === undefined) return null
  const cards = GPUs.map((GpuName) => ({ GpuName, Utilization: {}, Temperature: {}, Clock: {} }))
  return receivedSpecs.parse({ Hostname: '', Cores, RAM, RAMFree, Disk, Load, GPUs: cards })
}
