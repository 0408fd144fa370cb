import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { WebSocket } from 'ws'
import { createGossipTools } from '../../actors/gossip/recordSignature.ts'
import type { Identity } from '../../actors/identity.ts'
import { GOSSIP_PATH } from '../../protocol/gossip.ts'
import type { NodeId } from '../../protocol/ids.ts'
import type { WireMessage } from '../../protocol/wire/gossip.ts'
import { type NodeRecord, signRecord } from '../../protocol/wire/record.ts'
import { nextEvent } from '../support/harness.ts'
import { newIdentity, tls } from '../support/httpHarness.ts'
import { type NodeHere, nodeHere, request } from '../support/inProcess.ts'

/** Resolves when `node` has merged a matching record of the node `who`. */
export const merged = (node: NodeHere, who: NodeId, fits: (record: NodeRecord) => boolean = () => true) =>
  nextEvent(node.bus, 'record.merged', ({ record }) => record.id === who && fits(record))

export const add = (node: NodeHere, other: NodeHere) =>
  request(node, { type: 'peer.add', where: other.where, replace: false })

/** Starts two nodes and waits until each has the record of the other. */
export async function pair(t: TestContext): Promise<[NodeHere, NodeHere]> {
  const [one, other] = [await nodeHere(t), await nodeHere(t)]
  const known = Promise.all([merged(one, other.identity.id), merged(other, one.identity.id)])
  await add(one, other)
  await known
  return [one, other]
}

/** Makes an identity that signs records but runs no node. */
export async function outsider(
  t: TestContext,
): Promise<Identity & { record(more?: Partial<NodeRecord>): [string, string] }> {
  const folder = mkdtempSync(join(tmpdir(), 'p2prc-outsider-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const identity = await newIdentity(folder, 'outsider')
  const { sign } = createGossipTools(identity.tls.key)
  return {
    ...identity,
    record(more = {}) {
      const { text, signature } = signRecord(
        {
          id: identity.id,
          key: identity.publicKey.split(' ', 2).join(' '),
          seq: 1,
          name: 'outsider',
          endpoints: [],
          port: 0,
          version: '0',
          customInformation: '',
          capabilities: [],
          left: false,
          ...more,
        },
        sign,
      )
      return [text, signature]
    },
  }
}

/** Opens a link to a node without sending a hello. A first message may arrive together with the upgrade response. */
export async function linkTo(
  node: NodeHere,
  { tls: key }: Pick<Identity, 'tls'>,
  onMessage: (text: string) => void = () => {},
): Promise<WebSocket> {
  const secure = await tls(node.port, key)
  const socket = new WebSocket(`ws://peer${GOSSIP_PATH}`, {
    createConnection: () => secure,
    perMessageDeflate: false,
  })
  socket.on('error', () => {})
  socket.on('message', (data) => onMessage(String(data)))
  await once(socket, 'open')
  return socket
}

export const hello = (record: [string, string]): WireMessage => ({
  kind: 'link/hello',
  body: { record, root: 'A'.repeat(11), active: true, links: 0 },
})
