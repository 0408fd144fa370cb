import { z } from 'zod'

/**
 * Schemas that read JSON as Go does: keys match in any case, a missing key or a value of the wrong type becomes the
 * zero value, booleans may be `"True"`, and unknown keys are kept.
 */

export const text = z.string().catch('').default('')
export const whole = z.number().int().catch(0).default(0)
export const flag = z
  .union([z.boolean(), z.stringbool({ truthy: ['true'], falsy: ['false', ''] })])
  .catch(false)
  .default(false)

/** An object whose keys match in any case, and whose unknown keys are kept. */
export function goObject<T extends z.ZodRawShape>(shape: T) {
  const names = new Map(Object.keys(shape).map((name) => [name.toLowerCase(), name]))
  const rename = (value: unknown) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const entries = Object.entries(value).map(([key, entry]) => [names.get(key.toLowerCase()) ?? key, entry] as const)
    // An exact key wins over one that differs in case, regardless of their order.
    return { ...Object.fromEntries(entries), ...Object.fromEntries(entries.filter(([key]) => key in value)) }
  }
  return z.preprocess(rename, z.looseObject(shape))
}

type GoField<T> = T extends z.ZodOptional ? z.ZodCatch<T> : T extends Scalar ? z.ZodDefault<z.ZodCatch<T>> : T
type Scalar = z.ZodString | z.ZodNumber | z.ZodBoolean | z.ZodEnum

/**
 * Makes the schemas of a fact's fields as lenient as Go. A field that is missing or of the wrong type becomes the zero
 * value, an enum its first option, and an optional field is absent. The schemas of nested objects and lists are
 * unchanged.
 */
export function goFields<S extends z.ZodRawShape>(shape: S): { [K in keyof S]: GoField<S[K]> } {
  const fields = Object.entries(shape).map(([name, field]) => [name, goField(field)])
  return Object.fromEntries(fields) as { [K in keyof S]: GoField<S[K]> }
}

function goField(field: unknown): unknown {
  if (field instanceof z.ZodOptional) return field.catch(undefined)
  if (field instanceof z.ZodString) return field.catch('').default('')
  if (field instanceof z.ZodNumber) return whole
  if (field instanceof z.ZodBoolean) return flag
  if (field instanceof z.ZodEnum) return field.catch(field.options[0] as string).default(field.options[0] as string)
  return field
}

/** A list in which `null` means empty, as Go writes it. */
export function goList<T extends z.ZodType>(entry: T) {
  return z
    .array(entry)
    .nullable()
    .default([])
    .transform((list) => list ?? [])
}
