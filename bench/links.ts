import { randomUUID } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { dirname, join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { build } from 'esbuild'
import { homePaths } from '../actors/homePaths.ts'
import { COMMANDS_PATH } from '../protocol/control.ts'
import { type Bench, type Figure, figure, interleave } from './measure.ts'
import { cli, ended, freePort, type Started, scratch, started, timed } from './processes.ts'

/** Links whose memory is measured: enough that the process without them does not show. */
const LINKS = 900

const NODES = 30

/** What gossip costs and does on real sockets: memory of an idle link, and a network of processes that come up together. */
export const bench: Bench = async () => {
  const link = (what: string, anchor: string, mode: string) =>
    interleave({
      what,
      anchor,
      unit: 'kB',
      goal: { sign: '≤', ratio: 2.5 },
      rounds: 3,
      warmUp: 0,
      ours: () => perLink('gossip'),
      theirs: () => perLink(mode),
    })
  return [
    await processes(false),
    await processes(true),
    await link('memory of an idle link', 'bare ws, same mutual TLS', 'bareTls'),
  ]
}

/** Kilobytes of resident memory that one link costs its listening end, when all have been idle for a while. */
async function perLink(mode: string): Promise<number> {
  const host = await started(['--expose-gc', await hostScript(), mode, String(LINKS)], {}, 'kB a link')
  const [, kilobytes] = /([\d.]+) kB a link/.exec(host.said) ?? []
  await ended(host)
  return Number(kilobytes)
}

/** The host as one script: what loads and compiles TypeScript would be most of the memory, and all of the noise. */
async function hostScript(): Promise<string> {
  const outfile = join(dirname(cli), 'bench', 'linkHost.mjs')
  const options = { bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'error' } as const
  await build({ ...options, entryPoints: [join(import.meta.dirname, 'linkHost.ts')], outfile })
  return outfile
}

/**
 * Each node is told the address of one that started before it. `atOnce`: all start together, so that the machine is still
 * busy with their starts when the last one listens; else each when the one before it listens.
 */
async function processes(atOnce: boolean): Promise<Figure> {
  const ports = await Promise.all(Array.from({ length: NODES }, freePort))
  const homes = await Promise.all(ports.map(() => networkHome()))
  const start = (port: number, index: number) => {
    const first = ports[Math.floor(index / 2)] as number
    const seedArguments = index === 0 ? [] : [`127.0.0.1:${first}`]
    const listenArguments = ['--host', '127.0.0.1', '--port', String(port)]
    return started(
      [cli, 'start', ...seedArguments, ...listenArguments],
      { ...homes[index], DOCKER_HOST: NO_ENGINE },
      `127.0.0.1:${port}`,
    )
  }
  const running: Started[] = []
  if (atOnce) running.push(...(await Promise.all(ports.map(start))))
  else for (const [index, port] of ports.entries()) running.push(await start(port, index))
  const listening = performance.now()
  await Promise.all(homes.map(({ P2PRC }) => complete(P2PRC)))
  const took = performance.now() - listening
  await Promise.all(running.map(ended))
  const pair = {
    what: `${NODES} processes${atOnce ? ' started at once' : ''}, each told one address: all tables complete`,
    anchor: '3 s',
    unit: 's',
  }
  return figure({ ...pair, goal: { sign: '≤', ratio: 1 }, rounds: 1 }, took / 1_000, 3)
}

/** Resolves when the node of a home lists all the others. It is asked on its own socket, as the command line does. */
async function complete(home: string): Promise<void> {
  const { socket } = homePaths({ P2PRC: home })
  while ((await listed(socket)) < NODES - 1) await wait(POLL_MS)
}

function listed(socketPath: string): Promise<number> {
  const command = { type: 'peer.list', requestId: randomUUID() }
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const sent = request({ socketPath, path: COMMANDS_PATH, method: 'POST', headers, agent: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(JSON.parse(text.trim()).peers.length))
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(command))
  })
}

const POLL_MS = 200

const NO_ENGINE = 'unix:///nonexistent/docker.sock'

/** A home whose network is this machine (`Test` in P2PRC's `config.json`). */
async function networkHome(): Promise<{ P2PRC: string }> {
  const home = { P2PRC: scratch('links') }
  await timed([cli, 'init'], home)
  const path = join(home.P2PRC, 'config.json')
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, 'utf8')), Test: true }))
  return home
}
