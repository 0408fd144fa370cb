import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { homePaths } from '../actors/homePaths.ts'
import { COMMANDS_PATH } from '../protocol/control.ts'
import { bundled } from './bundled.ts'
import { type Bench, type Figure, figure, interleave } from './measure.ts'
import { cli, ended, freePort, type Started, started } from './processes.ts'
import { addressKinds, startTogether, testHome } from './startTogether.ts'

/** Number of links whose memory is measured. It is high enough for the fixed cost of the process not to show. */
const LINKS = 900

const NODES = 30

/** Measures gossip on real sockets: how fast a network of processes converges, and the memory of an idle link. */
export const bench: Bench = async () => {
  const link = (what: string, baseline: string, mode: string) =>
    interleave({
      what,
      baseline,
      unit: 'kB',
      goal: { sign: '≤', ratio: 2.5 },
      rounds: 3,
      warmUp: 0,
      ours: () => perLink('gossip'),
      theirs: () => perLink(mode),
    })
  return [
    await processes(),
    ...(await together()),
    await link('memory of an idle link', 'bare ws, same mutual TLS', 'bareTls'),
  ]
}

/** Measures the resident memory in kilobytes that one idle link costs its accepting end. */
async function perLink(mode: string): Promise<number> {
  const host = await started(['--expose-gc', await bundled('linkHost'), mode, String(LINKS)], {}, 'kB a link')
  const [, kilobytes] = /([\d.]+) kB a link/.exec(host.text) ?? []
  await ended(host)
  return Number(kilobytes)
}

/**
 * Starts all nodes at the same moment, once with each kind of address. A node that drops another one, all of which run,
 * counts as a run that did not end.
 */
async function together(): Promise<Figure[]> {
  const figures: Figure[] = []
  for (const kind of addressKinds) {
    const { seconds, dropped } = await startTogether(kind, NODES)
    for (const line of dropped) console.log(`${kind}: dropped a node that runs: ${line}`)
    const what = `${NODES} processes started at once, each with one ${kind} address: all tables complete`
    const pair = { what, baseline: '5 s', unit: 's', goal: { sign: '≤', ratio: 1 }, rounds: 1 } as const
    figures.push(figure(pair, dropped.length > 0 ? Number.POSITIVE_INFINITY : seconds, 5))
  }
  return figures
}

/**
 * Measures the time from when the last node listens until all tables are complete. Each node knows the address of one
 * that started before it, and starts when the previous one listens.
 */
async function processes(): Promise<Figure> {
  const ports = await Promise.all(Array.from({ length: NODES }, freePort))
  const homes = await Promise.all(ports.map(testHome))
  const running: Started[] = []
  for (const [index, port] of ports.entries()) {
    const seedArguments = index === 0 ? [] : [`127.0.0.1:${ports[Math.floor(index / 2)]}`]
    const listenArguments = ['--host', '127.0.0.1', '--port', String(port)]
    const env = { ...homes[index], DOCKER_HOST: NO_ENGINE }
    running.push(await started([cli, 'start', ...seedArguments, ...listenArguments], env, `127.0.0.1:${port}`))
  }
  const listening = performance.now()
  await Promise.all(homes.map(({ P2PRC }) => complete(P2PRC)))
  const took = performance.now() - listening
  await Promise.all(running.map(ended))
  const pair = { what: `${NODES} processes, each with one address: all tables complete`, baseline: '3 s', unit: 's' }
  return figure({ ...pair, goal: { sign: '≤', ratio: 1 }, rounds: 1 }, took / 1_000, 3)
}

/** Resolves when the node of a home lists all other nodes. It polls the node's control socket. */
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
      response.on('end', () => resolve(JSON.parse(text.trim().split('\n').at(-1) as string).count))
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(command))
  })
}

const POLL_MS = 200

const NO_ENGINE = 'unix:///nonexistent/docker.sock'
