import { z } from 'zod'
import type { CommandSpec, CommandsOf } from './control.ts'
import { answer, type FactSpecs, type FactsOf } from './facts.ts'
import type { SelfAddressesChanged } from './ipTable.ts'
import type { RequestFact } from './request.ts'

export const doctorCommands = {
  /** Checks what it takes to lend and to be reached; with `where`, also each way to that peer and back. */
  'doctor.examine': {
    schema: z.object({ where: z.string().min(1).max(512).optional() }),
    action: 'administer',
    terminalEvents: ['doctor.examined'],
  },
} as const satisfies Record<string, CommandSpec>

const finding = z.object({
  /** The name of the check. */
  check: z.string(),
  /**
   * `ok`: it was proved. `unneeded`: it does not work or is not there, and something better or worse does its work. `unknown`: nobody
   * could prove it.
   */
  state: z.enum(['ok', 'broken', 'unneeded', 'unknown']),
  /** What was proved, or what does not work: a sentence without its full stop. */
  what: z.string(),
  /** What to do, one sentence. */
  remedy: z.string().optional(),
  /** When it was proved, in milliseconds since 1970. */
  at: z.number(),
})

export type Finding = z.infer<typeof finding>

export const doctorFacts = {
  /** One check has ended: `step` is its name. */
  'doctor.progress': answer({ step: z.string(), line: z.string() }),
  /** In the order in which one thing needs another, so that the first broken one is where to begin. */
  'doctor.examined': answer({ findings: z.array(finding) }),
} as const satisfies FactSpecs

export type DoctorEmits = FactsOf<typeof doctorFacts>

export type DoctorCommand = CommandsOf<typeof doctorCommands>

export type DoctorAccepts = DoctorCommand | RequestFact | SelfAddressesChanged
