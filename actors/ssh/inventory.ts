import type { Port } from '../../protocol/containerManager.ts'
import { AppError } from '../../protocol/errors.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { portEndpoint, sshPort } from '../../protocol/loanRecord.ts'
import { hostKeyCheck, type SshFiles, sshKey } from '../../protocol/ssh.ts'

/**
 * The SSH server of a loan. Every value is validated, because ssh and Ansible could read it as an option or a
 * template.
 */
export interface SshEndpoint {
  host: string
  port: number
  user: string
  /** The path of the private key; undefined if the loan has a password or the key is not known. */
  key: string | undefined
}

const userName = /^[a-z_][a-z0-9_-]{0,31}$/i

/** Returns the SSH endpoint of a loan. Throws `protocol_error` or `bad_address` if the record is not safe for ssh. */
export function sshEndpoint(loan: Loan, files: SshFiles): SshEndpoint {
  const { IpAddress, Container } = loan
  const bad = (why: string) => new AppError('protocol_error', { where: IpAddress.slice(0, 128), why })
  const published = sshPort(Container.Ports)
  if (!published || !isPort(published.ExternalPort)) throw bad('its record names no SSH port')
  if (!userName.test(Container.SSHUsername)) throw bad('its record names no possible SSH user')
  const { host, port } = portEndpoint(loan, published)
  return { host, port, user: Container.SSHUsername, key: sshKey(loan, files) }
}

const SHORT_ID = 12

/** Returns a short name for each loan: 12 digits of its id, as engines show it, and more only if two would be equal. */
export function shortIds(loans: readonly Pick<Loan, 'ID'>[]): Map<string, string> {
  const ids = [...new Set(loans.map(({ ID }) => ID))].filter((id) => /^[\w.-]+$/.test(id) && !id.startsWith('-'))
  return new Map(
    ids.map((id) => {
      let length = Math.min(SHORT_ID, id.length)
      while (ids.some((other) => other !== id && other.startsWith(id.slice(0, length)))) length += 1
      return [id, id.slice(0, length)]
    }),
  )
}

/** Returns a valid Ansible group name: Ansible warns about any other character. */
function groupName(text: string): string {
  const name = text.replace(/[^A-Za-z0-9_]/g, '_')
  return /^[A-Za-z_]/.test(name) ? name : `_${name}`
}

export interface DynamicInventory {
  /** The variables of each host, so that Ansible need not call the program once for each host. */
  _meta: { hostvars: Record<string, object> }
}

/**
 * Returns the output of `p2prc inventory --list`: Ansible's dynamic inventory of all loans. Loans whose record is not
 * safe for ssh are left out.
 */
export function dynamicInventory(loans: readonly Loan[], groups: readonly Group[], files: SshFiles): DynamicInventory {
  const aliases = shortIds(loans)
  const hostvars: DynamicInventory['_meta']['hostvars'] = {}
  for (const loan of loans) {
    const alias = aliases.get(loan.ID)
    const endpoint = trySshEndpoint(loan, files)
    if (!alias || !endpoint) continue
    hostvars[alias] = {
      ...connection(endpoint),
      ansible_ssh_common_args: commonArgs(loan, files),
      p2prc_id: loan.ID,
      p2prc_ports: freePorts(loan).map(({ internal }) => internal),
    }
  }
  const named = groups.map(({ ID, Name, TrackContainer }) => [
    groupName(Name || ID),
    { hosts: TrackContainer.flatMap((loan) => aliases.get(loan.ID) ?? []).filter((alias) => alias in hostvars) },
  ])
  return {
    _meta: { hostvars },
    all: { children: ['p2prc', ...named.map(([name]) => name)] },
    ...Object.fromEntries(named),
    p2prc: { hosts: Object.keys(hostvars) },
  }
}

export interface InventoryMember {
  member: string
  id: string
  endpoint: SshEndpoint
  /** The ports that the plugin receives, as numbers inside the container. */
  ports: readonly number[]
}

/**
 * Returns the inventory of one run, for Ansible's `yaml` inventory plugin, which accepts JSON. P2PRC's plugins name
 * their hosts `all`, `main` or `host1`, so each of these names means every member.
 */
export function runInventory(members: readonly InventoryMember[]): object {
  const hosts = Object.fromEntries(
    members.map(({ member, id, endpoint, ports }, index) => [
      member,
      { ...connection(endpoint), p2prc_ports: [...ports], p2prc_member: member, p2prc_id: id, p2prc_index: index },
    ]),
  )
  return { all: { children: { main: { hosts }, host1: { children: { main: {} } } } } }
}

/** Returns the ports of a loan that are not in use, in P2PRC's order. */
export function freePorts(loan: Loan): UsablePort[] {
  return usablePorts(loan, ({ IsUsed }) => !IsUsed)
}

/** Returns the ports of a loan that a plugin got in an earlier run, in P2PRC's order. */
export function portsOf(loan: Loan, plugin: string): UsablePort[] {
  return usablePorts(loan, ({ IsUsed, UsedBy }) => IsUsed && UsedBy === plugin)
}

interface UsablePort {
  internal: number
  external: number
}

function usablePorts(loan: Loan, isMeant: (port: Port) => boolean): UsablePort[] {
  return loan.Container.Ports.Port.filter(
    (port) =>
      port.PortName !== 'SSH' &&
      port.Type === 'tcp' &&
      isPort(port.InternalPort) &&
      isPort(port.ExternalPort) &&
      isMeant(port),
  ).map(({ InternalPort, ExternalPort }) => ({ internal: InternalPort, external: ExternalPort }))
}

function isPort(number: number | undefined): number is number {
  return Number.isInteger(number) && Number(number) > 0 && Number(number) < 65_536
}

function connection({ host, port, user, key }: SshEndpoint): object {
  return {
    ansible_host: host,
    ansible_port: port,
    ansible_user: user,
    ...(key !== undefined && { ansible_ssh_private_key_file: key }),
    // P2PRC's value. Detecting an interpreter would cost each host a round trip.
    ansible_python_interpreter: '/usr/bin/python3',
  }
}

function trySshEndpoint(loan: Loan, files: SshFiles): SshEndpoint | undefined {
  try {
    return sshEndpoint(loan, files)
  } catch {
    return undefined
  }
}

function commonArgs(loan: Loan, files: SshFiles): string {
  const { file, options } = hostKeyCheck(loan, files)
  return ['IdentitiesOnly=yes', ...options, `UserKnownHostsFile=${quoted(file)}`].map((each) => `-o ${each}`).join(' ')
}

/** Quotes a path twice: Ansible splits `ansible_ssh_common_args` as a shell would, and ssh splits it once more. */
function quoted(path: string): string {
  return `'"${path.replaceAll('%', '%%').replaceAll("'", `'"'"'`)}"'`
}
