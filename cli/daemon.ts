import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { type Holder, holderKind, holderOf, runningNode } from '../actors/home/lockHolder.ts'
import type { Home } from '../actors/home.ts'
import { homePaths } from '../actors/homePaths.ts'
import { withoutControlCharacters } from '../client/text.ts'
import type { ReceivedFact } from '../client/transport.ts'
import { PORT } from '../protocol/defaults/node.ts'
import { AppError } from '../protocol/errors.ts'
import type { BusEvent } from '../protocol/index.ts'
import { parseAddress } from '../protocol/net/address.ts'
import { wholeNumber } from './commandLine.ts'
import { type RelayFlags, relayOptions } from './relayFlags.ts'
import { ownerLine } from './tables.ts'
import type { Terminal } from './terminal.ts'

export interface DaemonOptions {
  host?: string
  port?: string
  /** URL of a service that reports the public address. */
  ipService?: string
  /** Addresses of nodes to bootstrap from. */
  bootstrapAddresses: readonly string[]
  open: boolean
  /** What was typed about the ports to lend. */
  relay: RelayFlags
  terminal: Terminal
  /** Stops the node; its containers keep running. */
  signal: AbortSignal
}

/** How long `start` waits for a command that holds the lock of the home. */
const LOCK_GRACE_MS = 300

/** How long a node may take to stop: it closes its listeners and writes its files, and waits for no peer. */
const STOP_TIMEOUT_MS = 15_000

const POLL_MS = 50

const PORT_MAX = 65_535

/** Runs a node until `signal` aborts, and prints one line for each fact that the owner should see. */
export async function runNode(options: DaemonOptions): Promise<void> {
  const { host, port, ipService, bootstrapAddresses, open, terminal, signal } = options
  const relay = relayOptions(options.relay)
  await assertNotRunning()
  const { openHome, createNode } = await import('./inProcess.ts')
  const home = await openHome(process.env)
  for (const note of home.notes) terminal.note(note)
  const listen = {
    port: listenPort(home, port),
    // Brackets are the spelling of an IPv6 address in front of a port.
    ...(host && { host: host.replace(/^\[(.*)\]$/, '$1') }),
  }
  const printLine = (text: string) => terminal.line(undefined, `${terminal.style('green', '✓')} ${text}`)
  // Facts carry texts of other people, such as the name of an image.
  const tap = (event: BusEvent) => {
    if (terminal.json) return terminal.line(withoutControlCharacters(JSON.parse(JSON.stringify(event))), '')
    const text = ownerLine(event as ReceivedFact)
    if (text !== undefined) terminal.line(event, withoutControlCharacters(text))
  }
  // Rejects a malformed address before the node starts.
  for (const where of bootstrapAddresses) parseAddress(where)
  const node = await createNode({ home, listen, open, ...relay, tap, ...(ipService && { ipService }) })
  const { identity, addresses, proxyPort, stop } = node
  if (!terminal.json) {
    printLine(`Node ${identity.name} runs, ${identity.id}`)
    for (const address of addresses) printLine(`It listens on ${address}`)
    if (proxyPort !== undefined) printLine(`It shows domains on port ${proxyPort}`)
    printLine(trustHint(open, identity.publicKey))
  }
  for (const where of bootstrapAddresses) {
    const fact = await node.request({
      type: 'peer.add',
      requestId: randomUUID(),
      caller: 'owner',
      where,
      replace: false,
    })
    if (fact.type === 'peer.addFailed') terminal.note(`${where} was not added. ${fact.message}`)
  }
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
  await stop()
}

function listenPort({ config, paths }: Home, port: string | undefined): number {
  if (port !== undefined) return wholeNumber('--port', port, 0, PORT_MAX)
  return wholeNumber(`ServerPort in ${paths.config}`, config.ServerPort || String(PORT), 0, PORT_MAX)
}

function trustHint(open: boolean, publicKey: string): string {
  if (open) return 'Anyone who can reach it may borrow (--open)'
  return `Friends may borrow once you have run \`p2prc trust add KEY\` with theirs; your own key is: ${publicKey}`
}

/** Throws `home_locked` before the node is loaded and before any file is touched. */
async function assertNotRunning(): Promise<void> {
  const { lock, dir } = homePaths(process.env)
  const deadline = performance.now() + LOCK_GRACE_MS
  for (let holder = holderOf(lock); holder; holder = holderOf(lock)) {
    if (performance.now() >= deadline)
      throw new AppError('home_locked', { kind: holderKind(holder), path: dir, pid: holder.pid })
    await delay(POLL_MS)
  }
}

/** Stops the node that runs on this home and waits for it to exit. Throws `no_node` or `timed_out`. */
export async function stopNode(): Promise<number> {
  const { lock } = homePaths(process.env)
  const holder = runningNode(lock)
  if (!holder) throw new AppError('no_node')
  process.kill(holder.pid, 'SIGTERM')
  const deadline = performance.now() + STOP_TIMEOUT_MS
  while (isSameHolder(holder, holderOf(lock))) {
    if (performance.now() >= deadline)
      throw new AppError('timed_out', { where: `Process ${holder.pid}`, ms: STOP_TIMEOUT_MS })
    await delay(POLL_MS)
  }
  return holder.pid
}

function isSameHolder(former: Holder, now: Holder | undefined): boolean {
  return now?.pid === former.pid && now.started === former.started
}
