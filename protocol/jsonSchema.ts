import { z } from 'zod'
import { commands, facts } from './index.ts'
import { secret } from './secret.ts'

/** A JSON Schema (draft 2020-12) that `JSON.stringify` accepts. */
export type JsonSchema = Record<string, unknown>

/**
 * Returns the JSON Schema of every command and fact, by type. A command is described as `POST /api/v1/commands` accepts
 * it: fields with a default may be omitted, and there is no caller. A fact is described as it is sent; keys that a
 * newer node adds are allowed.
 */
export function jsonSchemas(): { commands: Record<string, JsonSchema>; facts: Record<string, JsonSchema> } {
  return {
    commands: byType(commands, 'input', { requestId: z.string().optional() }),
    facts: byType(facts, 'output', {}),
  }
}

function byType(
  specs: ReadonlyMap<string, { schema: z.ZodObject }>,
  io: 'input' | 'output',
  more: z.ZodRawShape,
): Record<string, JsonSchema> {
  const schemas = [...specs].map(([type, { schema }]) => [
    type,
    toJsonSchema(schema.extend({ type: z.literal(type), ...more }), io),
  ])
  return Object.fromEntries(schemas)
}

function toJsonSchema(schema: z.ZodObject, io: 'input' | 'output'): JsonSchema {
  return z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      const { type } = zodSchema._zod.def
      // A secret is sent as its text in the one reply that reveals it, and as a mask everywhere else.
      if (zodSchema === secret) jsonSchema.type = 'string'
      else if (type === 'custom' || type === 'transform') throw new TypeError(`a ${type} has no JSON Schema`)
      // A newer node may send additional fields.
      if (jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties
    },
  }) as JsonSchema
}
