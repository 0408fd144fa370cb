import { Socket } from 'node:dgram'
import { join } from 'node:path'
import { openHome } from '../actors/home.ts'
import { createNode } from '../actors/node.ts'
import { scratch } from './processes.ts'

/**
 * A process with many whole nodes, each on an address and in a home of its own: the neighbours of a node that is measured.
 * Its arguments are their addresses. All are told the first of them.
 */
const [first = '', ...others] = process.argv.slice(2)
const folder = scratch('neighbours')
// No node's engine is of interest here, and each would look for one.
process.env.DOCKER_HOST = 'unix:///nonexistent/docker.sock'
// Each node listens to the process and to its signals.
process.setMaxListeners(0)
// On a LAN each machine receives the multicasts of the others. Here each would also reach the 198 sockets of this machine,
// and the process would do little else.
const { setMulticastLoopback } = Socket.prototype
Socket.prototype.setMulticastLoopback = function () {
  return setMulticastLoopback.call(this, false)
}

for (const [index, host] of [first, ...others].entries()) {
  const home = await openHome({ P2PRC: join(folder, String(index)) })
  const node = await createNode({ home, listen: { host, port: 8_088 }, open: false })
  if (host !== first)
    await node.request({
      type: 'peer.add',
      requestId: `add ${index}`,
      caller: 'owner',
      where: `${first}:8088`,
      replace: false,
    })
}
console.log('all listen')
