import { lookup, Resolver } from 'node:dns/promises'
import { mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import {
  DNS_NAMES_MAX,
  DNS_TIMEOUT_MS,
  ENGINE_FREE_MIN_BYTES,
  HOME_FREE_MIN_BYTES,
} from '../../protocol/defaults/doctor.ts'
import { isNumeric } from '../../protocol/net/endpoint.ts'
import { inspectImage } from '../engine/imageBuilder.ts'
import { reason } from '../home/fileErrors.ts'
import { broken, brokenBy, type CheckResult, ok, type Subject, unknown } from './check.ts'

/** The checks of this machine alone. */

const DEFAULT_IMAGE = 'ssh'
/** Docker's folder, also for its rootful installation elsewhere the best guess. */
const ENGINE_FOLDER = '/var/lib/docker'

export async function checkEngine({ engine, signal }: Subject): Promise<CheckResult> {
  return engine.version(signal).then((version) => ok(`The container engine answers, version ${version}`), brokenBy)
}

export async function checkImage({ engine, imagesDir, signal }: Subject): Promise<CheckResult> {
  try {
    await engine.version(signal)
  } catch {
    return unknown('Without a container engine nothing is known of the image')
  }
  try {
    const { tag, built } = await inspectImage(engine, imagesDir, DEFAULT_IMAGE)
    if (built) return ok(`The image for lent containers is built: ${tag}`)
    return broken('The image for lent containers is not built', 'Run `p2prc image build` and read its output.')
  } catch (error) {
    return brokenBy(error)
  }
}

export async function checkDisk({ homeDir, engine }: Subject): Promise<CheckResult> {
  try {
    const probe = await mkdtemp(join(homeDir, 'doctor-'))
    await writeFile(join(probe, 'probe'), 'written').finally(() => rm(probe, { recursive: true }))
  } catch (error) {
    const { why, kind } = reason(error)
    return broken(`${homeDir} cannot be written: ${why}`, kind === 'full' ? 'Free some space.' : 'Make it writable.')
  }
  const home = await freeBytes(homeDir)
  if (home !== undefined && home < HOME_FREE_MIN_BYTES)
    return broken(`Only ${mebibytes(home)} are free at ${homeDir}`, 'Free some space.')
  const images = engine.local ? await freeBytes(ENGINE_FOLDER) : undefined
  if (images !== undefined && images < ENGINE_FREE_MIN_BYTES)
    return broken(
      `Only ${mebibytes(images)} are free at ${ENGINE_FOLDER}, where the engine keeps images and containers`,
      'Free some space, for example with `docker system prune`.',
    )
  return ok(`${homeDir} can be written${home === undefined ? '' : ` and has ${mebibytes(home)} free`}`)
}

async function freeBytes(path: string): Promise<number | undefined> {
  return statfs(path).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => undefined,
  )
}

function mebibytes(bytes: number): string {
  return `${Math.floor(bytes / (1024 * 1024))} MiB`
}

/** Names of peers must be found. Where there is none, a name server that answers for the root is proof enough. */
export async function checkDns({ peers }: Subject): Promise<CheckResult> {
  const hosts = peers.flatMap(({ endpoints }) => endpoints.filter((at) => !isNumeric(at)).map(({ host }) => host))
  const names = [...new Set(hosts)].slice(0, DNS_NAMES_MAX)
  const lookUps = await Promise.all(
    names.map((name) =>
      lookup(name).then(
        () => [],
        () => [name],
      ),
    ),
  )
  const missing = lookUps.flat()
  const remedy = 'Check the name servers in /etc/resolv.conf, or add the machine by its address.'
  if (missing.length > 0) return broken(`No name server finds ${missing.join(', ')}`, remedy)
  if (names.length > 0) return ok(`The names of machines are found: ${names.join(', ')}`)
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 1 })
  return resolver.resolveSoa('.').then(
    () => ok('A name server answers'),
    () =>
      unknown(
        'No name server answers; machines are found by their addresses, but images and plugins are not downloaded',
      ),
  )
}
