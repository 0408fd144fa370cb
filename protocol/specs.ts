import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import type { RequestFact } from './request.ts'

export const specsCommands = {
  /** Returns the specifications of this node. */
  'specs.get': { schema: z.object({}), action: 'see', terminalEvents: ['specs.got', 'specs.getFailed'] },
  /** Requests the specifications of another node. Only the owner may, because the command makes this node dial. */
  'specs.request': {
    schema: z.object({ where: z.string().min(1).max(512) }),
    action: 'administer',
    terminalEvents: ['specs.got', 'specs.getFailed'],
  },
} as const satisfies Record<string, CommandSpec>

/** One NVIDIA card. The values are those that `nvidia-smi -q -x` prints ("66 C", "N/A"). */
const gpu = z.object({
  GpuName: z.string(),
  BiosVersion: z.string(),
  FanSpeed: z.string(),
  Utilization: z.object({ GpuUsage: z.string(), MemoryUsage: z.string() }),
  Temperature: z.object({ GpuTemp: z.string() }),
  Clock: z.object({ GpuClock: z.string(), GpuMemClock: z.string() }),
})

/**
 * P2PRC's `/server_info` (compatibility 2.4), followed by fields that P2PRC lacks: 0 or empty if a node does not send
 * them.
 */
export const specs = z.object({
  Hostname: z.string(),
  Platform: z.string(),
  /** The model of the first CPU. */
  CPU: z.string(),
  /** Total memory in MiB. */
  RAM: z.number(),
  /** Total size of `/` in MiB. */
  Disk: z.number(),
  /** The first card in P2PRC's form, or null. */
  GPU: z.object({ DriveVersion: z.string(), Gpu: gpu }).nullable(),
  /** All cards. */
  GPUs: z.array(gpu.extend({ MemoryTotal: z.string(), MemoryUsed: z.string(), Uuid: z.string() })),
  Cores: z.number(),
  /** Memory in MiB that is available to new programs. */
  RAMFree: z.number(),
  /** Free space on `/` in MiB. */
  DiskFree: z.number(),
  /** The load averages over 1, 5 and 15 minutes. */
  Load: z.tuple([z.number(), z.number(), z.number()]),
  /** The utilization of all cores in percent, 0 to 100. */
  CPUUsage: z.number(),
  /** The values that could not be read on that machine, and why. */
  Notes: z.array(z.string()),
})

export type Specs = z.infer<typeof specs>
export type Gpu = Specs['GPUs'][number]

export const specsFacts = {
  'specs.changed': z.object({ specs }),
  'specs.got': answer({ specs }),
  'specs.getFailed': failed,
} as const satisfies FactSpecs

export type SpecsEmits = FactsOf<typeof specsFacts>

export type SpecsChanged = Extract<SpecsEmits, { type: 'specs.changed' }>

export type SpecsCommand = CommandsOf<typeof specsCommands>

export type SpecsAccepts = SpecsCommand | RequestFact
