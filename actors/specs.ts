import { statfs } from 'node:fs/promises'
import { type CpuInfo, cpus, hostname, loadavg } from 'node:os'
import { setTimeout as wait } from 'node:timers/promises'
import type { Systeminformation } from 'systeminformation'
import { fromCallback, fromPromise } from 'xstate'
import { type SpecsRequestEnded, specsMachine } from '../machines/specs.ts'
import { SPECS_INTERVAL_MS } from '../protocol/defaults/specs.ts'
import { AppError, toFailure } from '../protocol/errors.ts'
import { readJson } from '../protocol/json.ts'
import type { Specs } from '../protocol/specs.ts'
import { receivedSpecs } from '../protocol/wire/specs.ts'
import { mebibytes } from './hardware.ts'
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
  const connection = await dialer.dial(await resolve(where, signal), { purpose: 'probe', goNode: 'accepted', signal })
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

/** Over how long the first reading measures the utilization of the cores. Later ones measure it since the one before. */
const CPU_SAMPLE_MS = 500

/**
 * Reads the specifications of this machine. A value that cannot be read is 0 or null, with a line in `Notes`. Every node
 * does this twice a minute, so what changes is read without starting a program, apart from `nvidia-smi`.
 */
export async function readSpecs(signal?: AbortSignal): Promise<Specs> {
  const notes: string[] = []
  const orNote = async <T>(what: string, reading: Promise<T>): Promise<T | null> =>
    reading.catch((error: Error) => {
      notes.push(`${what}: ${error.message}`)
      return null
    })
  // The library is imported here because loading it would slow down short commands.
  const { default: si } = await import('systeminformation')
  // It starts eight programs for the name of the system, which does not change while this process lives.
  system ??= si.osInfo()
  const [os, memory, disk, usage, nvidia] = await Promise.all([
    orNote('system', system),
    orNote('memory', si.mem()),
    orNote('disk', statfs('/')),
    cpuUsage(),
    orNote('GPU', readNvidia(signal)),
  ])
  const cores = cpus()
  const first = nvidia?.cards[0]
  const [one = 0, five = 0, fifteen = 0] = loadavg()
  return receivedSpecs.parse({
    Hostname: hostname(),
    Platform: os?.distro ?? process.platform,
    CPU: cores[0]?.model ?? '',
    RAM: mebibytes(memory?.total),
    Disk: disk ? mebibytes(disk.blocks * disk.bsize) : 0,
    GPU: nvidia && first ? { DriveVersion: nvidia.driver, Gpu: first } : null,
    GPUs: nvidia?.cards ?? [],
    Cores: cores.length,
    RAMFree: mebibytes(memory?.available),
    DiskFree: disk ? mebibytes(disk.bavail * disk.bsize) : 0,
    Load: [one, five, fifteen],
    CPUUsage: Math.round(usage * 10) / 10,
    Notes: notes,
  })
}

let system: Promise<Systeminformation.OsData> | undefined
let lastCores: CpuInfo[] | undefined

/** Returns the utilization of all cores in percent, since the last reading of this process. */
async function cpuUsage(): Promise<number> {
  if (!lastCores) {
    lastCores = cpus()
    await wait(CPU_SAMPLE_MS)
  }
  const [before, now] = [timesOf(lastCores), timesOf(cpus())]
  lastCores = cpus()
  return now.all > before.all ? 100 * (1 - (now.idle - before.idle) / (now.all - before.all)) : 0
}

function timesOf(cores: readonly CpuInfo[]): { idle: number; all: number } {
  const sum = (each: (times: CpuInfo['times']) => number) => cores.reduce((all, { times }) => all + each(times), 0)
  return { idle: sum(({ idle }) => idle), all: sum(({ user, nice, sys, idle, irq }) => user + nice + sys + idle + irq) }
}
