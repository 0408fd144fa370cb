import { z } from 'zod'
import { AppError } from '../errors.ts'
import { commandMeta } from '../ids.ts'
import { commands, facts } from '../index.ts'

/** What `#checks` is under `--conditions=development`; `production.ts` beside it is what it is otherwise. */

/** Throws `internal` for an event that no slice declares, or that does not fit its schema; it never names a value. */
export function checkEvent({ type, ...payload }: { type: string }): void {
  const command = commands.get(type)
  const schema = command ? command.schema.extend(commandMeta.shape) : facts.get(type)?.schema
  if (!schema) throw misfit(type, 'no slice declares it')
  const result = schema.safeParse(payload)
  if (!result.success) throw misfit(type, result.error.issues.map(describe).join('; '))
  const keys = Object.keys(payload)
  const unknown = keys.filter((key) => !Object.hasOwn(schema.shape, key))
  if (unknown.length > 0) throw misfit(type, `its schema has no ${unknown.join(', ')}`)
  // A schema fills in the defaults of a command from outside; one that is published has them already.
  const missing = Object.keys(result.data).filter((key) => !keys.includes(key))
  if (missing.length > 0) throw misfit(type, `it has no ${missing.join(', ')}`)
}

function misfit(type: string, why: string): AppError {
  return new AppError('internal', { why: `the event ${type} does not fit: ${why}` })
}

function describe({ path, message }: z.core.$ZodIssue): string {
  return path.length > 0 ? `${z.core.toDotPath(path)}: ${message}` : message
}
