import type { ContainerReply } from '../../../protocol/containerManager.ts'
import type { Loan } from '../../../protocol/groupTracker.ts'
import type { ContainerId, NodeId } from '../../../protocol/ids.ts'
import { actorNamed } from '../../support/playTable.ts'

/** The parts that the samples of several machines have in common. */

export const parent = actorNamed('parent')

export const nodeIdOf = (letter: string) => `SHA256:${letter.repeat(43)}` as NodeId

export const containerIdOf = (digit: string) => digit.repeat(64) as ContainerId

/** The beginning of a command of the owner. */
export const owner = <T extends string>(type: T, requestId: string) => ({ type, requestId, caller: 'owner' }) as const

export const abandoned = (requestId: string) => ({ type: 'request.abandoned', requestId }) as const

/** The reply for a container with one port. */
export function replyOf(id: ContainerId): ContainerReply {
  const port = { PortName: 'SSH', InternalPort: 22, Type: 'tcp', ExternalPort: 20_001, IsUsed: true, Description: '' }
  return {
    ...{ ID: id, TagName: 'p2prc/ssh:1', ImagePath: '', BaseImage: 'debian', TempPath: '', LogsPath: '', GPU: 'false' },
    ...{ SSHUsername: 'root', SSHPassword: '', SSHPublicKey: 'ssh-ed25519 AAAA', SSHHostKey: 'ssh-ed25519 HHHH' },
    ...{ SSHCommand: 'ssh root@10.0.0.1', VNCUsername: '', VNCPassword: '', Ports: { Port: [port] } },
  } as ContainerReply
}

export const loanOf = (id: ContainerId): Loan => ({ ID: id, Container: replyOf(id), IpAddress: '10.0.0.1:8088' })

export const NO_OPTIONS = { key: '', ports: 0, udpPorts: 0, gpu: false, image: '' } as const
