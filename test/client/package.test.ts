import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, test } from 'node:test'
import { promisify } from 'node:util'
import { freePort, p2prcJson, startNode, temporaryHome } from '../support/processes.ts'

/** The package as a program of somebody else has it: built, and reached by its name. `npm test` builds it first. */

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const consumer = mkdtempSync(join(tmpdir(), 'p2prc-consumer-'))
after(() => rmSync(consumer, { recursive: true, force: true }))
mkdirSync(join(consumer, 'node_modules'))
symlinkSync(root, join(consumer, 'node_modules/p2prc'))
symlinkSync(join(root, 'node_modules/@types'), join(consumer, 'node_modules/@types'))
writeFileSync(join(consumer, 'package.json'), '{ "type": "module" }')
copyFileSync(join(root, 'examples/borrow.mjs'), join(consumer, 'borrow.mjs'))
writeFileSync(
  join(consumer, 'whoIs.mjs'),
  `import { AppError, connect, controlSocket } from 'p2prc/client'

const client = connect({ transport: controlSocket() })
const request = client.request({ type: 'node.show' })
for await (const fact of request) {
  // @ts-expect-error this fact belongs to another noun, so the types are there and are not "any"
  if (fact.type === 'loan.taken') throw new Error('impossible')
}
const { id, protocols } = await request.answer
/** @type {readonly number[]} */
const versions = protocols
console.log(JSON.stringify({ id, versions }))
const failure = await client.request({ type: 'loan.find', id: 'abc' }).answer.catch((error) => error)
console.log(failure instanceof AppError && failure.code)
// @ts-expect-error there is no such command
const newer = await client.request({ type: 'loan.extend', id: 'abc' }).answer.catch((error) => error)
console.log(newer instanceof AppError && newer.code)
`,
)

for (const moduleResolution of ['nodenext', 'bundler']) {
  test(`types resolve for programs, the example among them, with ${moduleResolution}`, async () => {
    const module = moduleResolution === 'bundler' ? 'preserve' : moduleResolution
    const compilerOptions = {
      ...{ module, moduleResolution, target: 'es2023', strict: true, noEmit: true, allowJs: true, checkJs: true },
      ...{ types: ['node'], skipLibCheck: false },
    }
    writeFileSync(join(consumer, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.mjs'] }))
    const tsc = join(root, 'node_modules/typescript/bin/tsc')
    const { stdout } = await run(process.execPath, [tsc, '-p', consumer]).catch((error) => error)
    assert.equal(stdout, '')
  })
}

test('a program asks the running node through the package', async (t) => {
  const env = temporaryHome()
  await startNode(t, env)
  const { id } = await p2prcJson(env, 'id')
  const { stdout } = await run(process.execPath, [join(consumer, 'whoIs.mjs')], { env: { ...process.env, ...env } })
  assert.deepEqual(stdout.split('\n'), [JSON.stringify({ id, versions: [1] }), 'not_found', 'unknown_command', ''])
})

test('what the command line and programs load has no schema library in it; the node loads one', () => {
  const text = (name: string) => readFileSync(join(root, 'dist', name), 'utf8')
  const hasSchemas = (name: string) => text(name).includes('$ZodType')
  assert.deepEqual(['cli.js', 'client.js', 'lib/zod.js'].map(hasSchemas), [false, false, true])
  assert.ok(text('node.js').includes('require("./lib/zod.js")'))
})

test('a node loads SSH for its engine only where DOCKER_HOST asks for it', async () => {
  const require = createRequire(join(root, 'dist/node.js'))
  const Docker = require('./lib/dockerode.js') as typeof import('dockerode')
  const ssh = require.resolve('./lib/ssh.js')
  assert.equal(require.cache[ssh], undefined)
  const engine = new Docker({ protocol: 'ssh', host: '127.0.0.1', port: await freePort(), username: 'nobody' })
  await assert.rejects(engine.ping(), { code: 'ECONNREFUSED' })
  assert.ok(require.cache[ssh])
})
