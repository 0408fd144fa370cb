import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { test } from 'node:test'

const source = resolve(import.meta.dirname, '../../cli/exit.ts')

/** Runs a program that exits with this promise, an expression, and resolves with its exit code and output. */
async function exited(ended: string) {
  const program = `import { exitWith } from ${JSON.stringify(source)}\nexitWith(${ended})`
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', program], { env })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      output += chunk
    })
  const [code] = await once(child, 'close')
  return { code, output }
}

test('the exit code is that of the command, whatever a library still holds open', async () => {
  assert.deepEqual(await exited('Promise.resolve(3)'), { code: 3, output: '' })
  assert.deepEqual(await exited('(setInterval(() => {}, 1000), Promise.resolve(0))'), { code: 0, output: '' })
})

test('a command that never ends is no success where nothing is left to wait for', async () => {
  const { code, output } = await exited('new Promise(() => {})')
  assert.equal(code, 1)
  assert.match(output, /^p2prc: [^\n]*the command has not ended, but nothing is left to wait for[^\n]*\n$/)
})
