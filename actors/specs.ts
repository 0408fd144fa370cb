import { cpus, hostname, loadavg } from 'node:os'
import { fromCallback, fromPromise } from 'xstate'
import { type SpecsRequestEnded, specsMachine } from '../machines/specs.ts'
import { SPECS_INTERVAL_MS } from '../protocol/defaults/specs.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import { readJson } from '../protocol/json.ts'
import type { Specs } from '../protocol/specs.ts'
import { receivedSpecs } from '../protocol/wire/specs.ts'
import type { Connection, Dialer } from './net/dialer.ts'
import { requestOver } from './net/peerClient.ts'
import type { Resolve } from './net/resolve.ts'
import { readNvidia } from './specs/nvidiaSmi.ts'
import type { ConcernParts } from './supervise.ts'

interface SpecsDependencies {
  resolve: Resolve
  dialer: Dialer
  /** Interval between two readings in milliseconds. */
  intervalMs?: number
  /** Whether to read at the start and periodically. A process without a node reads only on request. */
  background?: boolean
  /** Reads the specifications of this machine; tests replace it. */
  read?: (signal: AbortSignal) => Promise<Specs>
}

/**
 * Creates the concern of specifications: it reads those of this machine in the background, and requests those of other
 * nodes.
 */
export function createSpecs({
  resolve,
  dialer,
  intervalMs = SPECS_INTERVAL_MS,
  background = true,
  read = readSpecs,
}: SpecsDependencies): ConcernParts<typeof specsMachine> {
  let concernSignal = new AbortController().signal
  const request = fromCallback<SpecsRequestEnded, { requestId: string; where: string }>(({ input, sendBack }) => {
    const { requestId, where } = input
    const own = new AbortController()
    requestSpecs({ resolve, dialer }, where, AbortSignal.any([own.signal, concernSignal])).then(
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
  }
}

async function requestSpecs(
  { resolve, dialer }: { resolve: Resolve; dialer: Dialer },
  where: string,
  signal: AbortSignal,
): Promise<Specs> {
  const connection = await dialer.dial(await resolve(where, signal), { purpose: 'command', goNode: 'accepted', signal })
  try {
    const checked = receivedSpecs.safeParse(await readAnswer(connection, where, signal))
    if (!checked.success)
      throw new AppError('protocol_error', { where, why: 'its specifications are not in the known form' })
    return checked.data
  } finally {
    connection.stream.destroy()
  }
}

/** Returns the answer of a node to `specs.get`, or of a Go node to a plain `/server_info`, without validation. */
async function readAnswer(connection: Connection, where: string, signal: AbortSignal): Promise<unknown> {
  if (connection.peer) {
    const fact = await requestOver(connection, { type: 'specs.get' }, { signal })
    return fact.type === 'specs.got' ? fact.specs : undefined
  }
  try {
    return readJson(connection.serverInfo ?? '')
  } catch (error) {
    throw new AppError('protocol_error', { where, why: 'its /server_info is not JSON' }, error)
  }
}

const MIB = 1024 * 1024

/** Reads the specifications of this machine. A value that cannot be read is 0 or null, with a line in `Notes`. */
export async function readSpecs(signal?: AbortSignal): Promise<Specs> {
  const notes: string[] = []
  const orNote = async <T>(what: string, reading: Promise<T>): Promise<T | null> =>
    reading.catch((error: Error) => {
      notes.push(`${what}: ${error.message}`)
      return null
    })
  // The library is imported here because loading it would slow down short commands.
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
  return receivedSpecs.parse({
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
