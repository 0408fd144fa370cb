import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HOPS } from '../../protocol/defaults/ipTable.ts'
import { commands, facts } from '../../protocol/index.ts'
import { type JsonSchema, jsonSchemas } from '../../protocol/jsonSchema.ts'
import { record } from '../support/harness.ts'
import { nodeHere, request } from '../support/inProcess.ts'

const schemas = jsonSchemas()

test('every command and every fact has a schema with its type', () => {
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
  assert.deepEqual(propertyOf(update, 'hops'), {
    default: HOPS.default,
    type: 'integer',
    minimum: 1,
    maximum: HOPS.max,
  })
  for (const schema of Object.values(schemas.commands)) assert.ok(!('caller' in (schema.properties as object)))
})

test('ids keep their pattern, and a secret is a string', () => {
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

test('facts of a real node are valid, and what does not fit is invalid by zod and by the JSON Schema alike', async (t) => {
  const node = await nodeHere(t)
  const events = record(node.bus)
  for (const [type, payload] of [
    ['node.show', {}],
    ['specs.get', {}],
    ['peer.add', { where: '127.0.0.1:9' }],
    ['peer.list', {}],
    ['trust.list', {}],
    ['loan.list', {}],
    ['group.create', { name: 'farm' }],
    ['plugin.list', {}],
    ['actor.list', { details: true }],
  ] as const) {
    await request(node, { type, ...payload })
  }
  const seen = new Map(events.filter(({ type }) => facts.has(type)).map((event) => [event.type, event]))
  assert.ok(seen.size >= 10, `only ${[...seen.keys()].join(', ')}`)
  for (const [type, event] of seen) {
    const fact = JSON.parse(JSON.stringify(event)) as Record<string, unknown>
    const schema = schemas.facts[type] as JsonSchema
    assert.deepEqual(problems(schema, fact), [], type)
    for (const key of Object.keys(fact).filter((name) => name !== 'type')) {
      const { [key]: _, ...without } = fact
      const wrong = { ...fact, [key]: [{ not: 'this' }] }
      for (const other of [without, wrong]) {
        const zod = facts.get(type)?.schema.safeParse(other).success
        assert.equal(problems(schema, other).length === 0, zod, `${type} without a right ${key}`)
      }
    }
  }
})

/** The places at which `value` does not fit, by the keywords that the schemas use; throws for any other keyword. */
function problems(schema: JsonSchema, value: unknown, path = '$', root = schema): string[] {
  const found: string[] = []
  const need = (holds: boolean) => holds || found.push(path)
  const into = (part: unknown, inner: unknown, step: string) =>
    found.push(...problems(part as JsonSchema, inner, `${path}${step}`, root))
  const object = typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined
  for (const [keyword, given] of Object.entries(schema)) {
    if (['$schema', '$defs', 'default'].includes(keyword)) continue
    if (keyword === '$ref') into(definition(root, given as string), value, '')
    else if (keyword === 'type') need([given as string | string[]].flat().some((type) => isOfType(type, value)))
    else if (keyword === 'const') need(value === given)
    else if (keyword === 'enum') need((given as unknown[]).includes(value))
    else if (keyword === 'pattern') need(typeof value !== 'string' || new RegExp(given as string, 'u').test(value))
    else if (keyword === 'minimum') need(typeof value !== 'number' || value >= (given as number))
    else if (keyword === 'maximum') need(typeof value !== 'number' || value <= (given as number))
    else if (keyword === 'minLength') need(typeof value !== 'string' || value.length >= (given as number))
    else if (keyword === 'maxLength') need(typeof value !== 'string' || value.length <= (given as number))
    else if (keyword === 'minItems') need(!Array.isArray(value) || value.length >= (given as number))
    else if (keyword === 'maxItems') need(!Array.isArray(value) || value.length <= (given as number))
    else if (keyword === 'anyOf' || keyword === 'oneOf') {
      const fitting = (given as JsonSchema[]).filter((part) => problems(part, value, path, root).length === 0)
      need(keyword === 'anyOf' ? fitting.length > 0 : fitting.length === 1)
    } else if (keyword === 'required')
      for (const name of given as string[]) need(!object || Object.hasOwn(object, name))
    else if (keyword === 'items') for (const one of Array.isArray(value) ? value : []) into(given, one, '[]')
    else if (keyword === 'prefixItems') {
      const parts = given as JsonSchema[]
      for (const [index, part] of parts.entries()) if (Array.isArray(value)) into(part, value[index], `[${index}]`)
    } else if (keyword === 'properties' || keyword === 'additionalProperties' || keyword === 'propertyNames') {
      const named = (schema.properties ?? {}) as Record<string, JsonSchema>
      for (const [name, inner] of Object.entries(object ?? {})) {
        if (keyword === 'properties') into(named[name] ?? {}, inner, `.${name}`)
        else if (!Object.hasOwn(named, name)) into(given, keyword === 'propertyNames' ? name : inner, `.${name}`)
      }
    } else assert.fail(`${path} has the keyword ${keyword}`)
  }
  return found
}

function isOfType(type: string, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'array') return Array.isArray(value)
  if (type === 'null') return value === null
  return typeof value === type && value !== null && !Array.isArray(value)
}

function definition(root: JsonSchema, ref: string): unknown {
  return ref === '#' ? root : (root.$defs as Record<string, unknown>)[ref.replace('#/$defs/', '')]
}

function propertyOf(schema: JsonSchema, name: string): JsonSchema {
  return (schema.properties as Record<string, JsonSchema>)[name] as JsonSchema
}

function visit(schema: JsonSchema, onPart: (part: JsonSchema, path: string) => void, path = ''): void {
  onPart(schema, path)
  for (const [name, part] of Object.entries((schema.properties ?? {}) as Record<string, JsonSchema>))
    visit(part, onPart, `${path}.${name}`)
  const { items, anyOf = [], oneOf = [], prefixItems = [] } = schema as Record<string, unknown[]>
  for (const part of [items, ...anyOf, ...oneOf, ...prefixItems])
    if (typeof part === 'object' && part !== null) visit(part as JsonSchema, onPart, `${path}[]`)
}
