import type { LinkSays } from '../../machines/containerManager/guest.ts'
import { ENGINE_CONNECT_TIMEOUT_MS, GUEST_NETWORK } from '../../protocol/defaults.ts'
import type { Engine, EngineEvent } from './engine.ts'
import type { GuestPorts } from './guestPorts.ts'
import { MAKING, NODE_LABEL, readGuest, SLUG_LABEL } from './guestSpec.ts'

/** Guests do not see each other; the bridge's fixed name is for the owner's own firewall rules. */
const NETWORK_OPTIONS = {
  'com.docker.network.bridge.name': GUEST_NETWORK,
  'com.docker.network.bridge.enable_icc': 'false',
}

const changes: Record<string, 'running' | 'stopped' | 'gone'> = { start: 'running', die: 'stopped', destroy: 'gone' }

/**
 * Follows the engine: tells which guests of this node it has, then what happens to them. Resolves when `signal` aborts,
 * rejects when the engine cannot be had or goes away.
 */
export async function linkEngine(
  { engine, nodeId, ports }: { engine: Engine; nodeId: string; ports: GuestPorts },
  tell: (said: LinkSays) => void,
  signal: AbortSignal,
): Promise<void> {
  const label = `${NODE_LABEL}=${nodeId}`
  const version = await engine.version(AbortSignal.any([signal, AbortSignal.timeout(ENGINE_CONNECT_TIMEOUT_MS)]))
  await engine.ensureNetwork(GUEST_NETWORK, NETWORK_OPTIONS)
  // Events first, so that nothing falls between the list and them. What they tell before the list has come is in it.
  const early: EngineEvent[] = []
  let onEvent = (event: EngineEvent) => void early.push(event)
  let watching: Promise<void> = Promise.resolve()
  const opened = new Promise<void>((open) => {
    watching = engine.watch(label, { open, event: (event) => onEvent(event) }, signal)
  })
  // It is waited for below; should something before that fail, its own end is no news.
  watching.catch(() => {})
  await Promise.race([opened, watching])
  const found = (await engine.containers(label)).flatMap((container) => readGuest(container) ?? [])
  for (const { slug, reply } of found)
    ports.hold(
      slug,
      reply.Ports.Port.map(({ ExternalPort }) => ExternalPort),
    )
  if (signal.aborted) return
  tell({ type: 'link.ready', version, found })
  onEvent = (event) => {
    const said = translate(event)
    if (said) tell(said)
  }
  for (const event of early) onEvent(event)
  await Promise.all([watching, removeLeftVolumes(engine, label, ports)])
}

function translate({ action, id, name, labels }: EngineEvent): LinkSays | undefined {
  const slug = labels[SLUG_LABEL]
  if (!slug) return undefined
  const change = changes[action]
  if (change) return { type: 'link.changed', slug, change }
  if (action !== 'create' || !name.endsWith(MAKING)) return undefined
  const found = readGuest({ id, name, labels, running: false, createdAt: Date.now() })
  return found && { type: 'link.made', found }
}

/** Volumes whose container is gone: a node died, or the engine did, between removing the one and the other. */
async function removeLeftVolumes(engine: Engine, label: string, ports: GuestPorts): Promise<void> {
  for (const { name } of await engine.volumes(label)) if (!ports.has(name)) await engine.removeVolume(name)
}
