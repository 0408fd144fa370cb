// Set-up for `npm run quickstart` and `npm test`: plain JavaScript, because it runs before anything is installed.
// Every step is one line with a tick and its time. As root on Debian or Ubuntu it installs what is missing and starts
// the engine; as a user it says what to run.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { delimiter, join, resolve } from 'node:path'

export const root = resolve(import.meta.dirname, '..')

/** Programs that the project needs, and the Debian package that brings each. */
export const programs = {
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
  debootstrap: 'debootstrap',
  iptables: 'iptables',
  ip: 'iproute2',
}

const tty = process.stdout.isTTY && !process.env.NO_COLOR
const green = (text) => (tty ? `\u001b[32m${text}\u001b[0m` : text)
const red = (text) => (tty ? `\u001b[31m${text}\u001b[0m` : text)

/** Does one step and prints it: a tick, its name, what it found, its time. Ends the process with 1 where it fails. */
export async function step(name, work) {
  const began = performance.now()
  try {
    const found = await work()
    console.log(
      `${green('✔')} ${name}${found ? `: ${found}` : ''} (${((performance.now() - began) / 1000).toFixed(1)} s)`,
    )
  } catch (error) {
    console.error(`${red('✘')} ${name}: ${error.message}`)
    throw new StepFailed(name, { cause: error })
  }
}

export class StepFailed extends Error {}

/**
 * Runs the set-up. `extra` names further programs and their packages, `packages` those without a program and a file by
 * which each is known; `engine: false` does without an engine.
 */
export async function setUp({ engine = true, extra = {}, packages = {} } = {}) {
  await step('Node', () => {
    const [major, minor] = process.versions.node.split('.').map(Number)
    if (major < 20 || (major === 20 && minor < 19))
      throw new Error(`20.19 or newer is needed, this is ${process.versions.node}`)
    return process.versions.node
  })
  await step('Dependencies', installDependencies)
  await step('Programs', () => installPrograms({ ...programs, ...extra }, packages, engine))
  if (engine) await step('Container engine', startEngine)
}

function installDependencies() {
  const stamp = join(root, 'node_modules', '.p2prc-lock')
  const wanted = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return 'present'
  run('npm', ['ci', '--no-audit', '--no-fund'])
  writeFileSync(stamp, wanted)
  return 'installed'
}

async function installPrograms(wanted, others, engine) {
  const missing = new Set([
    ...Object.entries(wanted).flatMap(([program, name]) => (onPath(program) ? [] : [name])),
    ...Object.entries(others).flatMap(([name, file]) => (existsSync(file) ? [] : [name])),
  ])
  if (engine && !(await engineAnswers()) && !onPath('dockerd')) missing.add('docker.io')
  if (missing.size === 0) return 'present'
  install([...missing])
  return `installed ${[...missing].join(' ')}`
}

function install(packages) {
  const line = `apt-get install ${packages.join(' ')}`
  if (process.getuid?.() !== 0 || !onPath('apt-get')) throw new Error(`please run, as root: ${line}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  run('apt-get', ['update', '-q'], { env })
  run('apt-get', ['install', '-q', '-y', '--no-install-recommends', ...packages], { env })
}

async function startEngine() {
  const version = await engineAnswers()
  if (version) return `answers, ${version}`
  if (process.env.DOCKER_HOST) throw new Error(`nothing answers at DOCKER_HOST=${process.env.DOCKER_HOST}`)
  if (process.getuid?.() !== 0) {
    throw new Error(
      'none answers. Please start it (as root: systemctl start docker) and join its group: adduser $USER docker',
    )
  }
  let ended
  if (existsSync('/run/systemd/system')) run('systemctl', ['start', 'docker'])
  else {
    mkdirSync('/var/log', { recursive: true })
    const log = openSync('/var/log/dockerd-p2prc.log', 'a')
    removeStalePidFile()
    const engine = spawn('dockerd', [], { detached: true, stdio: ['ignore', log, log] })
    engine.on('exit', (code) => {
      ended = `dockerd ended with ${code}; see /var/log/dockerd-p2prc.log`
    })
    engine.unref()
  }
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const started = await engineAnswers()
    if (started) return `started, ${started}`
    if (ended) throw new Error(ended)
    await new Promise((done) => setTimeout(done, 200))
  }
  throw new Error('it did not start within 60 s; see /var/log/dockerd-p2prc.log')
}

/**
 * A killed dockerd leaves its process id behind, and refuses to start for as long as any process, of whatever program,
 * has that id.
 */
function removeStalePidFile() {
  const file = '/var/run/docker.pid'
  if (!existsSync(file)) return
  const owner = `/proc/${readFileSync(file, 'utf8').trim()}/comm`
  if (existsSync(owner) && readFileSync(owner, 'utf8').trim() === 'dockerd') return
  rmSync(file)
}

/** The engine's version, or undefined where none answers. */
function engineAnswers() {
  const host = process.env.DOCKER_HOST ?? 'unix:///var/run/docker.sock'
  const where = host.startsWith('unix://')
    ? { socketPath: host.slice('unix://'.length) }
    : { host: new URL(host).hostname, port: new URL(host).port }
  return new Promise((done) => {
    const asked = request({ ...where, path: '/version', timeout: 5_000 }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => {
        try {
          done(JSON.parse(body).Version)
        } catch {
          done(undefined)
        }
      })
    })
    asked.on('timeout', () => asked.destroy())
    asked.on('error', () => done(undefined))
    asked.end()
  })
}

export function onPath(program) {
  const folders = `${process.env.PATH ?? ''}${delimiter}/usr/sbin${delimiter}/sbin`.split(delimiter)
  return folders.some((folder) => folder && existsSync(join(folder, program)))
}

/** Runs a program to its end; its output is shown only where it fails. */
function run(program, args, options = {}) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: 'utf8', ...options })
  if (error) throw error
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}\n${stdout}\n${stderr}`)
}
