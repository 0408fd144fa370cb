import { join } from 'node:path'
import { loadIdentity, makeSshKeyPair } from '../../actors/identity.ts'
import { createHttpServer } from '../../actors/listeners/httpServer.ts'
import { openListener } from '../../actors/listeners/tcp.ts'
import { createBus } from '../../protocol/bus.ts'
import type { ContainerManagerCommand, ContainerManagerEmits } from '../../protocol/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { ContainerId, NodeId } from '../../protocol/ids.ts'
import type { BusEvent } from '../../protocol/index.ts'
import { Secret } from '../../protocol/secret.ts'
import { record } from './harness.ts'

type Of<T extends ContainerManagerCommand['type']> = Extract<ContainerManagerCommand, { type: T }>

/** Returns a lender's reply; `change` replaces some of its fields. */
export function replyOf(id: string, sshPort = 20_001, hostKey = HOST_KEY, password = ''): Record<string, unknown> {
  const port = { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: sshPort, IsUsed: true, Description: '' }
  return {
    SSHUsername: 'root',
    SSHPassword: password && new Secret(password),
    SSHPublicKey: 'ssh-ed25519 AAAA borrower',
    SSHHostKey: hostKey,
    VNCUsername: '',
    VNCPassword: '',
    ID: id,
    TagName: 'p2prc/ssh',
    ImagePath: '',
    Ports: { Port: [port] },
    GPU: 'false',
    TempPath: '',
    BaseImage: 'debian',
    LogsPath: '',
    SSHCommand: 'ssh -oProxyCommand=evil root@x',
  }
}

export const HOST_KEY = makeSshKeyPair('').publicKey.trim().split(' ').slice(0, 2).join(' ')

export const idOf = (number: number) => number.toString(16).padStart(4, '0').repeat(16) as ContainerId

export type FakeLender = Awaited<ReturnType<typeof openFakeLender>>

/**
 * Opens a lender with the project's own listeners on loopback and a scripted container manager behind them, whose
 * containers are entries of a map, with the ids `idOf(numberedFrom)` and so on. `script.create` may answer differently, or
 * not at all.
 */
export async function openFakeLender(folder: string, host = '127.0.0.1', { numberedFrom = 1 } = {}) {
  const identity = await loadIdentity({ key: join(folder, 'key'), publicKey: join(folder, 'key.pub') }, 'lender')
  // The script may publish anything, because a lender may be hostile.
  const bus = createBus<BusEvent>({ check: () => {} })
  const events = record(bus)
  const containers = new Map<string, { requestId: string; state: 'running' | 'stopped' }>()
  const rights = { trusted: new Set<NodeId>(), open: false, relay: 'off' as const }
  const script: {
    create?: (command: Of<'container.create'>) => unknown
    remove?: (id: string) => ContainerManagerEmits | null
    hostKey: string
    sshPort: number
  } = { hostKey: HOST_KEY, sshPort: 20_001 }
  const emit = (fact: unknown) => bus.publish(fact as BusEvent)
  let made = numberedFrom - 1

  bus.on('container.create', (command) => {
    const { requestId } = command
    if (script.create) return void emit(script.create(command))
    emit({ type: 'container.progress', requestId, step: 'create', line: 'creating' })
    emit({ type: 'container.progress', requestId, step: 'start', line: 'starting' })
    made += 1
    const known = [...containers].find(([, entry]) => entry.requestId === requestId)?.[0]
    const id = known ?? idOf(made)
    containers.set(id, { requestId, state: 'running' })
    emit({
      type: 'container.created',
      requestId,
      container: replyOf(id, script.sshPort, script.hostKey, command.key ? '' : 'hunter2'),
    })
  })
  bus.on('container.remove', ({ requestId, id }) => {
    const scripted = script.remove?.(id)
    if (scripted === null) return
    if (scripted) return emit({ ...scripted, requestId })
    if (containers.delete(id)) emit({ type: 'container.removed', requestId, id })
    else
      emit({
        type: 'container.removeFailed',
        requestId,
        ...new AppError('not_found', { kind: 'container', id }).toJSON(),
      })
  })
  bus.on('container.list', ({ requestId, caller }) => {
    const listed = [...containers].map(([id, entry]) => ({
      id,
      state: entry.state,
      requestId: entry.requestId.split(' ')[1],
      borrower: caller,
      image: '',
      createdAt: 0,
      ports: [],
      gpu: false,
    }))
    emit({ type: 'container.listed', requestId, containers: listed })
  })
  bus.on('container.logs', ({ requestId, id, tail }) => {
    emit({ type: 'container.logged', requestId, stream: 'stdout', line: `${id.slice(0, 4)} tail ${tail}` })
    emit({ type: 'container.logged', requestId, stream: 'stderr', line: 'oops' })
    emit({ type: 'container.logsEnded', requestId })
  })

  const httpServer = await createHttpServer({ bus, rights: () => rights })
  const listener = await openListener({ identity, handle: httpServer.handle, host, port: 0 })
  return {
    identity,
    bus,
    events,
    containers,
    rights,
    script,
    port: listener.port,
    address: `${host}:${listener.port}`,
    async stop() {
      await httpServer.close()
      await listener.close()
      bus.close()
    },
  }
}
