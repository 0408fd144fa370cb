import { AppError } from '../../protocol/errors.ts'
import type { Group } from '../../protocol/groups.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { sshPort } from '../../protocol/loanRecord.ts'
import { parseAddress } from '../../protocol/net/address.ts'
import type { SshFiles } from '../../protocol/ssh.ts'

/** Where a loan's SSH server is. Every value is checked: ssh and Ansible read them as options or templates otherwise. */
export interface SshEndpoint {
  host: string
  port: number
  user: string
  /** The private key's file; undefined where a password opens it. */
  key: string | undefined
}

const userName = /^[a-z_][a-z0-9_-]{0,31}$/i

/** Throws `protocol_error` or `bad_address` where the record is not one that ssh may be given. */
export function sshEndpoint(loan: Loan, files: SshFiles): SshEndpoint {
  const { IpAddress, Container, Auth, KeyFile } = loan
  const bad = (why: string) => new AppError('protocol_error', { where: IpAddress.slice(0, 128), why })
  const port = sshPort(Container.Ports)
  if (!isPort(port)) throw bad('its record names no SSH port')
  if (!userName.test(Container.SSHUsername)) throw bad('its record names no possible SSH user')
  const key = Auth === 'password' ? undefined : Auth === 'userKey' ? KeyFile : files.key
  return { host: parseAddress(IpAddress).host, port, user: Container.SSHUsername, key }
}

const SHORT_ID = 12

/** A short name for each loan: 12 digits of its id, as engines show it, and more only where two would be equal. */
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

/** Ansible's name for a group: it warns of any other character. */
function groupName(text: string): string {
  const name = text.replace(/[^A-Za-z0-9_]/g, '_')
  return /^[A-Za-z_]/.test(name) ? name : `_${name}`
}

export interface DynamicInventory {
  /** Each host's variables, which spares Ansible a call for each. */
  _meta: { hostvars: Record<string, object> }
}

/**
 * What `p2prc inventory --list` prints: Ansible's dynamic inventory of everything borrowed. Loans whose record ssh may
 * not be given are left out.
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
      ansible_ssh_common_args: `-o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=${quoted(files.knownHosts)}`,
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
  /** The ports that the plugin is given, as numbers inside the container. */
  ports: readonly number[]
}

/**
 * The inventory of one run, for Ansible's `yaml` reader, which reads JSON. P2PRC's plugins name their hosts `all`,
 * `main` or `host1`, so all three mean every member.
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

/** Ports that nobody uses yet, in P2PRC's order. */
export function freePorts(loan: Loan): { internal: number; external: number }[] {
  return loan.Container.Ports.Port.filter(
    ({ IsUsed, PortName, Type, InternalPort, ExternalPort }) =>
      !IsUsed && PortName !== 'SSH' && Type === 'tcp' && isPort(InternalPort) && isPort(ExternalPort),
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
    // P2PRC's value; looking for one costs each host a round trip.
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

/** One word for Ansible, which splits `ansible_ssh_common_args` as a shell would, for ssh, which splits it once more. */
function quoted(path: string): string {
  return `'"${path.replaceAll('%', '%%').replaceAll("'", `'"'"'`)}"'`
}
