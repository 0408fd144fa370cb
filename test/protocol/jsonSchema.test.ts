import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOPS } from '../../protocol/defaults/ipTable.ts'
import { commands, facts } from '../../protocol/index.ts'
import { type JsonSchema, jsonSchemas } from '../../protocol/jsonSchema.ts'

const schemas = jsonSchemas()

test('every command and every fact is there, with its type', () => {
  assert.deepEqual(Object.keys(schemas.commands), [...commands.keys()])
  assert.deepEqual(Object.keys(schemas.facts), [...facts.keys()])
  for (const [type, schema] of [...Object.entries(schemas.commands), ...Object.entries(schemas.facts)]) {
    assert.equal(schema.$schema, 'https://json-schema.org/draft/2020-12/schema')
    assert.equal(propertyOf(schema, 'type').const, type)
    assert.ok((schema.required as string[]).includes('type'), type)
  }
})

test('it is JSON: nothing is lost on the way through text, and no place in it is left open', () => {
  assert.deepEqual(JSON.parse(JSON.stringify(schemas)), schemas)
  for (const [type, schema] of Object.entries(schemas.facts)) {
    visit(schema, (part, path) => assert.ok(Object.keys(part).length > 0, `${type} says nothing of ${path}`))
  }
})

test('a command is as the outside sends it: the caller is not in it, and what has a default may be left out', () => {
  const update = schemas.commands['table.update'] as JsonSchema
  assert.deepEqual(update.required, ['type'])
  assert.deepEqual(propertyOf(update, 'hops'), { default: HOPS.usual, type: 'integer', minimum: 1, maximum: HOPS.most })
  for (const schema of Object.values(schemas.commands)) assert.ok(!('caller' in (schema.properties as object)))
})

test('ids keep their pattern, and a secret is text', () => {
  const opened = schemas.facts['link.opened'] as JsonSchema
  assert.deepEqual(propertyOf(opened, 'id'), { type: 'string', pattern: '^SHA256:[A-Za-z0-9+/]{43}$' })
  const container = propertyOf(schemas.facts['container.created'] as JsonSchema, 'container')
  assert.deepEqual(propertyOf(container, 'SSHPassword'), { anyOf: [{ type: 'string' }, { type: 'string', const: '' }] })
})

test('an answer carries the requestId that it echoes, and a failure its code and message', () => {
  for (const [command, { terminalEvents }] of commands) {
    for (const [index, type] of terminalEvents.entries()) {
      const { required } = schemas.facts[type] as { required: string[] }
      assert.ok(required.includes('requestId'), `${command}: ${type}`)
      if (index > 0) assert.ok(required.includes('code') && required.includes('message'), `${command}: ${type}`)
    }
  }
})

function propertyOf(schema: JsonSchema, name: string): JsonSchema {
  return (schema.properties as Record<string, JsonSchema>)[name] as JsonSchema
}

function visit(schema: JsonSchema, look: (part: JsonSchema, path: string) => void, path = ''): void {
  look(schema, path)
  for (const [name, part] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>))
    visit(part, look, `${path}.${name}`)
  for (const part of [schema.items, ...((schema.anyOf ?? []) as unknown[])])
    if (typeof part === 'object' && part !== null) visit(part as JsonSchema, look, `${path}[]`)
}
