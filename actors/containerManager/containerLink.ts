import type { LinkEmits } from '../../machines/containerManager/containerTypes.ts'
import { CONTAINER_NETWORK, ENGINE_CONNECT_TIMEOUT_MS } from '../../protocol/defaults/containerManager.ts'
import type { Engine, EngineEvent } from '../engine/engine.ts'
import { NAME_LABEL, NODE_LABEL, PENDING, readContainer } from './containerSpec.ts'
import type { HostPorts } from './hostPorts.ts'

/** Options of the bridge network. Containers cannot reach each other; the bridge has a fixed name for the owner's firewall rules. */
const NETWORK_OPTIONS = {
  'com.docker.network.bridge.name': CONTAINER_NETWORK,
  'com.docker.network.bridge.enable_icc': 'false',
}

const changes: Record<string, 'running' | 'stopped' | 'gone'> = { start: 'running', die: 'stopped', destroy: 'gone' }

/**
 * Watches the engine: emits the containers of this node, then the events of these containers. Resolves when `signal` aborts;
 * rejects if the engine cannot be reached or goes away.
 */
export async function linkEngine(
  { engine, nodeId, ports }: { engine: Engine; nodeId: string; ports: HostPorts },
  emit: (linkEvent: LinkEmits) => void,
  signal: AbortSignal,
): Promise<void> {
  const label = `${NODE_LABEL}=${nodeId}`
  const version = await engine.version(AbortSignal.any([signal, AbortSignal.timeout(ENGINE_CONNECT_TIMEOUT_MS)]))
  await engine.ensureNetwork(CONTAINER_NETWORK, NETWORK_OPTIONS)
  // The events are opened before the list is read, so that none is missed. Events from before the list are reflected in it.
  const buffered: EngineEvent[] = []
  let onEvent = (event: EngineEvent) => void buffered.push(event)
  let watching: Promise<void> = Promise.resolve()
  const opened = new Promise<void>((open) => {
    watching = engine.watch(label, { open, event: (event) => onEvent(event) }, signal)
  })
  // This promise is awaited below. If something fails before that, its rejection is of no interest.
  watching.catch(() => {})
  await Promise.race([opened, watching])
  const found = (await engine.containers(label)).flatMap((container) => readContainer(container) ?? [])
  for (const { containerName, reply } of found)
    ports.reserve(
      containerName,
      reply.Ports.Port.map(({ ExternalPort }) => ExternalPort),
    )
  if (signal.aborted) return
  emit({ type: 'link.ready', version, found })
  onEvent = (event) => {
    const linkEvent = translate(event)
    if (linkEvent) emit(linkEvent)
  }
  for (const event of buffered) onEvent(event)
  await Promise.all([watching, removeOrphanedVolumes(engine, label, ports)])
}

function translate({ action, id, name, labels }: EngineEvent): LinkEmits | undefined {
  const containerName = labels[NAME_LABEL]
  if (!containerName) return undefined
  const change = changes[action]
  if (change) return { type: 'link.changed', containerName, change }
  if (action !== 'create' || !name.endsWith(PENDING)) return undefined
  const found = readContainer({ id, name, labels, running: false, createdAt: Date.now() })
  return found && { type: 'link.created', found }
}

/** Removes volumes without a container, which remain if the node or the engine dies between the two removals. */
async function removeOrphanedVolumes(engine: Engine, label: string, ports: HostPorts): Promise<void> {
  for (const { name } of await engine.volumes(label)) if (!ports.has(name)) await engine.removeVolume(name)
}
