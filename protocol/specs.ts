import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf, failed } from './facts.ts'
import type { RequestFact } from './request.ts'

export const specsCommands = {
  /** This node's own specifications. */
  'specs.get': { schema: z.object({}), action: 'see', terminalEvents: ['specs.got', 'specs.getFailed'] },
  /** Another node's, asked there. For the owner alone, or anonymous callers could make this node dial. */
  'specs.request': {
    schema: z.object({ where: z.string().min(1).max(512) }),
    action: 'administer',
    terminalEvents: ['specs.got', 'specs.getFailed'],
  },
} as const satisfies Record<string, CommandSpec>

/** One NVIDIA card, values as `nvidia-smi -q -x` prints them ("66 C", "N/A"). */
const gpu = z.object({
  GpuName: z.string(),
  BiosVersion: z.string(),
  FanSpeed: z.string(),
  Utilization: z.object({ GpuUsage: z.string(), MemoryUsage: z.string() }),
  Temperature: z.object({ GpuTemp: z.string() }),
  Clock: z.object({ GpuClock: z.string(), GpuMemClock: z.string() }),
})

/** P2PRC's `/server_info` (compatibility 2.4), then what P2PRC did not say: 0 or empty where a node does not tell. */
export const specs = z.object({
  Hostname: z.string(),
  Platform: z.string(),
  /** Model of the first CPU. */
  CPU: z.string(),
  /** MiB in all. */
  RAM: z.number(),
  /** MiB of `/` in all. */
  Disk: z.number(),
  /** The first card in P2PRC's shape, or null. */
  GPU: z.object({ DriveVersion: z.string(), Gpu: gpu }).nullable(),
  /** Every card. */
  GPUs: z.array(gpu.extend({ MemoryTotal: z.string(), MemoryUsed: z.string(), Uuid: z.string() })),
  Cores: z.number(),
  /** MiB free for new programs. */
  RAMFree: z.number(),
  /** MiB free on `/`. */
  DiskFree: z.number(),
  /** Load average over 1, 5 and 15 minutes. */
  Load: z.tuple([z.number(), z.number(), z.number()]),
  /** Share of all cores in use, 0 to 100. */
  CPUUsage: z.number(),
  /** What could not be read on that machine, and why. */
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
