import { z } from 'zod'
import { type Specs, specs } from '../specs.ts'

/**
 * The specifications as another machine sends them. What is missing or of a wrong type is 0 or empty, so that a node that
 * tells less is understood; only the host name must be there.
 */

/** Control and direction characters, which would act on a terminal, become `?`. */
const line = z.string().transform((text) => text.slice(0, 512).replace(/[\p{Cc}\u2028-\u202e\u2066-\u2069]/gu, '?'))

const LIST_MAX = 256

/** What 256 cards with long texts would add up to is no honest machine, and would fill the list of peers. */
const SPECS_MAX_CHARS = 128 * 1024

export const receivedSpecs = z
  .object({ ...fieldsOf(specs), Hostname: line })
  .refine((value) => JSON.stringify(value).length <= SPECS_MAX_CHARS) as unknown as z.ZodType<Specs>

function fieldsOf({ shape }: z.ZodObject): z.ZodRawShape {
  return Object.fromEntries(Object.entries(shape).map(([name, field]) => [name, received(field)]))
}

function received(field: unknown): z.ZodType {
  if (field instanceof z.ZodString) return line.catch('')
  if (field instanceof z.ZodNumber) return z.number().nonnegative().catch(0)
  if (field instanceof z.ZodTuple) return field.catch(field.def.items.map(() => 0))
  if (field instanceof z.ZodArray) return z.array(received(field.element)).max(LIST_MAX).catch([])
  if (field instanceof z.ZodNullable) return received(field.unwrap()).nullable().catch(null)
  if (field instanceof z.ZodObject) return z.object(fieldsOf(field))
  throw new TypeError('specifications have no field of this kind')
}
