import { z } from 'zod'
import { commands, facts } from './index.ts'
import { secret } from './secret.ts'

/** A JSON Schema of 2020-12, as `JSON.stringify` takes it. */
export type JsonSchema = Record<string, unknown>

/**
 * Every command and fact as JSON Schema, by its type. A command is described as `POST /api/v1/commands` takes it: what
 * has a default may be left out, and the caller is not in it. A fact is described as it is sent; keys that a newer node
 * adds are allowed.
 */
export function jsonSchemas(): { commands: Record<string, JsonSchema>; facts: Record<string, JsonSchema> } {
  return {
    commands: byType(commands, (schema, type) =>
      schema.extend({ type: z.literal(type), requestId: z.string().optional() }),
    ),
    facts: byType(facts, (schema, type) => schema.extend({ type: z.literal(type) })),
  }
}

function byType(
  specs: ReadonlyMap<string, { schema: z.ZodObject }>,
  whole: (schema: z.ZodObject, type: string) => z.ZodObject,
): Record<string, JsonSchema> {
  return Object.fromEntries([...specs].map(([type, { schema }]) => [type, toJsonSchema(whole(schema, type))]))
}

function toJsonSchema(schema: z.ZodObject): JsonSchema {
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override({ zodSchema, jsonSchema }) {
      // What is sent in place of a secret is its text in the one reply, and a mask everywhere else.
      if (zodSchema === secret) jsonSchema.type = 'string'
      else if (zodSchema._zod.def.type === 'custom') throw new TypeError('a custom check has no JSON Schema')
    },
  }) as JsonSchema
}
