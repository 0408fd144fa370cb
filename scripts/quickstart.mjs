// `npm run quickstart`: sets up all that is needed, then does the main job for real on this machine. A lending node and
// a borrowing one start on loopback; the borrower takes a container, runs a command in it over SSH, looks at the
// lender's specifications and gives the container back. Nothing stays behind but what the set-up installed.
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { root, StepFailed, setUp, step } from './setup.mjs'

const cli = join(root, 'dist', 'cli.js')
const homes = mkdtempSync(join(tmpdir(), 'p2prc-quickstart-'))
const lender = { P2PRC: join(homes, 'lender') }
const borrower = { P2PRC: join(homes, 'borrower') }
const running = []

/** Runs one p2prc command to its end and returns what it printed. */
async function p2prc(home, args, onLine = () => {}) {
  const child = spawn(process.execPath, [cli, ...args], {
    env: { ...process.env, ...home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk) => {
    stdout += chunk
    onLine(chunk)
  })
  child.stderr.setEncoding('utf8').on('data', (chunk) => {
    stderr += chunk
    onLine(chunk)
  })
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`p2prc ${args.join(' ')} ended with ${code}\n${stdout}${stderr}`)
  return stdout.trim()
}

/** The result of a command with `--json`: the last line, behind those of its progress. */
function resultOf(text) {
  return JSON.parse(text.split('\n').at(-1))
}

/** Starts a node and waits until it listens. */
async function start(home, port) {
  const child = spawn(process.execPath, [cli, 'start', '--host', '127.0.0.1', '--port', String(port)], {
    env: { ...process.env, ...home },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.push(child)
  let output = ''
  const listens = new Promise((resolve, reject) => {
    const onData = (chunk) => {
      output += chunk
      if (output.includes(`127.0.0.1:${port}`)) resolve(`on 127.0.0.1:${port}`)
    }
    child.stdout.setEncoding('utf8').on('data', onData)
    child.stderr.setEncoding('utf8').on('data', onData)
    child.on('exit', (code) => reject(new Error(`it ended with ${code}\n${output}`)))
  })
  return listens
}

async function stop() {
  const codes = running.splice(0).map(async (child) => {
    if (child.exitCode !== null) return child.exitCode
    child.kill('SIGINT')
    const [code] = await once(child, 'exit')
    return code
  })
  const ended = await Promise.all(codes)
  if (ended.some((code) => code !== 0)) throw new Error(`the nodes ended with ${ended.join(' and ')}`)
  return `${ended.length} nodes ended cleanly`
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address()
  server.close()
  await once(server, 'close')
  return port
}

function untracked() {
  return spawnSync('git', ['status', '--porcelain'], { cwd: root, encoding: 'utf8' }).stdout
}

let id
try {
  const before = untracked()
  await setUp()
  await step('Build', () => {
    const { status, stderr } = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, encoding: 'utf8' })
    if (status !== 0) throw new Error(stderr)
    return 'dist/cli.js'
  })
  await step('Image', async () => {
    await p2prc(lender, ['image', 'build'], (lines) => process.stdout.isTTY && process.stdout.write(lines))
    return 'ready, for the next time too'
  })
  const [lenderPort, borrowerPort] = [await freePort(), await freePort()]
  const where = `127.0.0.1:${lenderPort}`
  await step('Lending node', () => start(lender, lenderPort))
  await step('Borrowing node', () => start(borrower, borrowerPort))
  await step('Trust', async () => {
    const { key } = resultOf(await p2prc(borrower, ['id', '--json']))
    await p2prc(lender, ['trust', 'add', key])
    return 'the lender lets the borrower in'
  })
  await step('Take a container', async () => {
    const taken = resultOf(await p2prc(borrower, ['touch', where, '--ports', '1', '--json']))
    id = taken.ID
    return `${id.slice(0, 12)} on ${where}`
  })
  await step('A command in it over SSH', () => p2prc(borrower, ['ssh', id.slice(0, 12), '--', 'uname', '-sm']))
  await step('Specifications', async () => {
    const specs = resultOf(await p2prc(borrower, ['specs', where, '--json']))
    return `${specs.CPU}, ${specs.Cores} cores, ${specs.RAM} MiB, GPU ${specs.GPU?.Gpu.GpuName ?? 'none'}`
  })
  await step('Give it back', async () => {
    await p2prc(borrower, ['rm', id, '--yes'])
    const left = resultOf(await p2prc(lender, ['lent', '--json']))
    if (left.length > 0) throw new Error(`the lender still has ${left.length} containers`)
    return 'nothing is left of it'
  })
  await step('Stop', stop)
  await step('Clean', () => {
    rmSync(homes, { recursive: true, force: true })
    if (untracked() !== before) throw new Error(`the checkout was changed:\n${untracked()}`)
    return 'the checkout is as it was'
  })
  console.log('\nIt works. Next: `npm start` lends this machine; the README shows how a friend borrows it.')
} catch (error) {
  if (!(error instanceof StepFailed)) console.error(error)
  if (id) await p2prc(borrower, ['rm', id, '--yes']).catch(() => {})
  await stop().catch(() => {})
  rmSync(homes, { recursive: true, force: true })
  process.exitCode = 1
}
