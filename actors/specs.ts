import { cpus, hostname, loadavg } from 'node:os'
import { fromCallback, fromPromise } from 'xstate'
import { type SpecsRequestEnded, specsMachine } from '../machines/specs.ts'
import { SPECS_INTERVAL_MS } from '../protocol/defaults/specs.ts'
import { AppError, toAppError, toFailure } from '../protocol/errors.ts'
import { type Specs, specsSchema } from '../protocol/specs.ts'
import type { Resolve } from './ipTable.ts'
import { legacySpecs } from './net/legacyPeer.ts'
import type { PeerAddress, PeerClient } from './net/peerClient.ts'
import { readNvidia } from './specs/nvidiaSmi.ts'
import type { ConcernParts } from './supervise.ts'

interface SpecsDependencies {
  resolve: Resolve
  peers: PeerClient
  /** How often to read again, in milliseconds. */
  intervalMs?: number
  /** Read at the start and on; false in a process without a node, which reads only when asked. */
  background?: boolean
  /** Reads this machine; tests put their own here. */
  read?: (signal: AbortSignal) => Promise<Specs>
}

/** The specifications concern: this machine's, read in the background, and other nodes', asked for there. */
export function createSpecs({
  resolve,
  peers,
  intervalMs = SPECS_INTERVAL_MS,
  background = true,
  read = readSpecs,
}: SpecsDependencies): ConcernParts<typeof specsMachine> {
  let concernSignal = new AbortController().signal
  const request = fromCallback<SpecsRequestEnded, { requestId: string; where: string }>(({ input, sendBack }) => {
    const { requestId, where } = input
    const own = new AbortController()
    requestSpecs({ resolve, peers }, where, AbortSignal.any([own.signal, concernSignal])).then(
      (specs) => sendBack({ type: 'request.done', requestId, specs }),
      (error) => sendBack({ type: 'request.failed', requestId, ...toFailure(error) }),
    )
    return () => own.abort()
  })
  return {
    name: 'specs',
    logic: specsMachine.provide({
      actors: {
        request,
        read: fromPromise<Specs, void>(({ signal }) => read(AbortSignal.any([signal, concernSignal]))),
      },
    }),
    input: (signal) => {
      concernSignal = signal
      return { intervalMs, background }
    },
    accepts: ['specs.get', 'specs.request', 'request.abandoned'],
  }
}

async function requestSpecs(
  { resolve, peers }: { resolve: Resolve; peers: PeerClient },
  where: string,
  signal: AbortSignal,
): Promise<Specs> {
  const to = await resolve(where, signal)
  const specs = await peers.request(to, { type: 'specs.get' }, { signal }).then(
    ({ fact }) => (fact.type === 'specs.got' ? fact.specs : undefined),
    (error) => requestFromGo(to, signal, error),
  )
  const checked = specsSchema.safeParse(specs)
  if (!checked.success)
    throw new AppError('protocol_error', { where, why: 'its specifications are not in the known form' })
  return checked.data
}

/** A Go P2PRC node speaks plain HTTP alone, which is a protocol error over TLS. A node asked for by its key is never one. */
async function requestFromGo(to: PeerAddress, signal: AbortSignal, error: unknown): Promise<unknown> {
  if (toAppError(error).code !== 'protocol_error' || to.id) throw error
  return legacySpecs(to, signal).catch(() => {
    throw error
  })
}

const MIB = 1024 * 1024

/** Reads this machine. What cannot be read is 0 or null, with a line in `Notes`. */
export async function readSpecs(signal?: AbortSignal): Promise<Specs> {
  const notes: string[] = []
  const orNote = async <T>(what: string, reading: Promise<T>): Promise<T | null> =>
    reading.catch((error: Error) => {
      notes.push(`${what}: ${error.message}`)
      return null
    })
  // Loading it costs more than a short command line has.
  const { default: si } = await import('systeminformation')
  const [system, memory, disks, load, nvidia] = await Promise.all([
    orNote('system', si.osInfo()),
    orNote('memory', si.mem()),
    orNote('disk', si.fsSize('/')),
    orNote('load', si.currentLoad()),
    orNote('GPU', readNvidia(signal)),
  ])
  const disk = disks?.find(({ mount }) => mount === '/')
  const cores = cpus()
  const first = nvidia?.cards[0]
  const [one = 0, five = 0, fifteen = 0] = loadavg()
  return specsSchema.parse({
    Hostname: hostname(),
    Platform: system?.distro ?? process.platform,
    CPU: cores[0]?.model ?? '',
    RAM: mebibytes(memory?.total),
    Disk: mebibytes(disk?.size),
    GPU: nvidia && first ? { DriveVersion: nvidia.driver, Gpu: first } : null,
    GPUs: nvidia?.cards ?? [],
    Cores: cores.length,
    RAMFree: mebibytes(memory?.available),
    DiskFree: mebibytes(disk?.available),
    Load: [one, five, fifteen],
    CPUUsage: Math.round((load?.currentLoad ?? 0) * 10) / 10,
    Notes: notes,
  })
}

function mebibytes(bytes = 0): number {
  return Math.floor(bytes / MIB)
}
