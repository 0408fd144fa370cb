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

/** Another machine's text: control and direction characters, which would act on a terminal, become `?`. */
const line = z.string().transform((said) => said.slice(0, 512).replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, '?'))
const text = line.catch('')
const amount = z.number().nonnegative().catch(0)

/** One NVIDIA card, values as `nvidia-smi -q -x` prints them ("66 C", "N/A"). */
const gpu = z.object({
  GpuName: text,
  BiosVersion: text,
  FanSpeed: text,
  Utilization: z.object({ GpuUsage: text, MemoryUsage: text }),
  Temperature: z.object({ GpuTemp: text }),
  Clock: z.object({ GpuClock: text, GpuMemClock: text }),
})

/** P2PRC's `/server_info` (compatibility 2.4), then what P2PRC did not say: 0 or empty where a node does not tell. */
export const specsSchema = z.object({
  Hostname: line,
  Platform: text,
  /** Model of the first CPU. */
  CPU: text,
  /** MiB in all. */
  RAM: amount,
  /** MiB of `/` in all. */
  Disk: amount,
  /** The first card in P2PRC's shape, or null. */
  GPU: z.object({ DriveVersion: text, Gpu: gpu }).nullable().catch(null),
  /** Every card. */
  GPUs: z
    .array(gpu.extend({ MemoryTotal: text, MemoryUsed: text, Uuid: text }))
    .max(256)
    .catch([]),
  Cores: amount,
  /** MiB free for new programs. */
  RAMFree: amount,
  /** MiB free on `/`. */
  DiskFree: amount,
  /** Load average over 1, 5 and 15 minutes. */
  Load: z.tuple([z.number(), z.number(), z.number()]).catch([0, 0, 0]),
  /** Share of all cores in use, 0 to 100. */
  CPUUsage: amount,
  /** What could not be read on that machine, and why. */
  Notes: z.array(text).max(64).catch([]),
})

export type Specs = z.infer<typeof specsSchema>
export type Gpu = Specs['GPUs'][number]

export const specsFacts = {
  'specs.changed': z.object({ specs: specsSchema }),
  'specs.got': answer({ specs: specsSchema }),
  'specs.getFailed': failed,
} as const satisfies FactSpecs

export type SpecsEmits = FactsOf<typeof specsFacts>

export type SpecsChanged = Extract<SpecsEmits, { type: 'specs.changed' }>

export type SpecsCommand = CommandsOf<typeof specsCommands>

export type SpecsAccepts = SpecsCommand | RequestFact
