import { readdirSync } from 'node:fs'
import { CONTAINER_NETWORK } from '../../protocol/defaults/containerManager.ts'

/** Names of the interfaces that container engines and hypervisors create. */
const ENGINE_INTERFACE = /^(docker|br-|veth|virbr|vnet|lxc|lxd|cni|podman|cilium|flannel)/

/** The ports of a bridge that lead to a container or a virtual machine. */
const VIRTUAL_PORT = /^(veth|vnet|tap|lxc)/

/**
 * Whether an interface is the bridge of a container engine, or one end of a container's link. Every lender has such a
 * bridge, many under the same address, and it leads to no other machine. A bridge that has a port to a LAN, as
 * hypervisors use it, is not one. Elsewhere than on Linux, engines run in a virtual machine and add no bridge.
 */
export function isEngineBridge(name: string, folder = '/sys/class/net'): boolean {
  if (name === CONTAINER_NETWORK || ENGINE_INTERFACE.test(name)) return true
  try {
    return readdirSync(`${folder}/${name}/brif`).every((port) => VIRTUAL_PORT.test(port))
  } catch {
    return false // It is not a bridge.
  }
}
