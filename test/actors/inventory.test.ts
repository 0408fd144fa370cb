import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dynamicInventory, freePorts, runInventory, shortIds, sshEndpoint } from '../../actors/ssh/inventory.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import type { ContainerId } from '../../protocol/ids.ts'
import { extraRecord, loanOf, sshRecord } from '../support/pluginContainers.ts'

const id = (start: string) => start.padEnd(64, '0') as ContainerId
const files = {
  key: '/home/x/id',
  goKey: '/home/x/go',
  knownHosts: "/home/x y/known'hosts%",
  acceptedHosts: '/home/x/accepted',
}
const first = loanOf(id('aaaa'), 'ssh-ed25519 AAAA', [sshRecord(2201), extraRecord(30001), extraRecord(30002)])
const second = loanOf(id('bbbb'), 'ssh-ed25519 AAAA', [sshRecord(2202)], '[2001:db8::7]:8088')

function damaged(change: (loan: Loan) => void): Loan {
  const loan = structuredClone(first)
  change(loan)
  return loan
}

const inContainer = (change: Partial<Loan['Container']>): Loan => ({
  ...first,
  Container: { ...first.Container, ...change },
})

const hostile: [string, Loan][] = [
  ['a user that is a template', inContainer({ SSHUsername: "{{ lookup('pipe', 'touch /tmp/x') }}" })],
  ['a user that is an option', inContainer({ SSHUsername: '-oProxyCommand=x' })],
  ['a host that is an option', { ...first, IpAddress: '-oProxyCommand=x:8088' }],
  ['a host that is a template', { ...first, IpAddress: '{{ 7 * 7 }}:8088' }],
  ['a host with a line break', { ...first, IpAddress: 'a\nProxyCommand x:8088' }],
  ['no SSH port', inContainer({ Ports: { Port: [extraRecord(30_001)] } })],
  ['an impossible port', inContainer({ Ports: { Port: [sshRecord(70_000)] } })],
]

test('a record that could be read as an option or a template is rejected', () => {
  assert.deepEqual(sshEndpoint(first, files), { host: '127.0.0.1', port: 2201, user: 'root', key: '/home/x/id' })
  assert.equal(sshEndpoint(second, files).host, '2001:db8::7')
  for (const [what, loan] of hostile)
    assert.throws(() => sshEndpoint(loan, files), { name: 'AppError', code: /protocol_error|bad_address/ }, what)
})

test('the key is the one that opens the loan', () => {
  const keyOf = (more: Partial<Loan>) => sshEndpoint({ ...first, ...more }, files).key
  assert.equal(keyOf({ Auth: 'userKey', KeyFile: '/k' }), '/k')
  assert.equal(keyOf({ Auth: 'password' }), undefined)
  assert.equal(keyOf({ Auth: undefined }), '/home/x/go')
})

test('short ids are as short as engines show them, and longer if two would be equal', () => {
  const twins = [id('cccccccccccc1'), id('cccccccccccc2'), id('d')]
  assert.deepEqual(
    [...shortIds(twins.map((ID) => ({ ID }))).values()],
    ['cccccccccccc1', 'cccccccccccc2', 'd00000000000'],
  )
  assert.deepEqual([...shortIds([{ ID: '-x' as ContainerId }, { ID: 'a b' as ContainerId }])], [])
})

test('free ports are the unused tcp ports without the SSH port', () => {
  const loan = damaged(({ Container: { Ports } }) => {
    Ports.Port.push({ ...extraRecord(30_003), Type: 'udp' }, { ...extraRecord(30_004), IsUsed: true })
  })
  assert.deepEqual(
    freePorts(loan).map(({ internal }) => internal),
    [30_001, 30_002],
  )
})

test('in the inventory of a run every member is in all, main and host1, with its own ports', () => {
  const endpoint = sshEndpoint(first, files)
  const inventory = JSON.parse(
    JSON.stringify(runInventory([{ member: 'aaaa', id: first.ID, endpoint, ports: [30_001] }])),
  )
  assert.deepEqual(inventory.all.children.host1, { children: { main: {} } })
  assert.deepEqual(inventory.all.children.main.hosts.aaaa, {
    ansible_host: '127.0.0.1',
    ansible_port: 2201,
    ansible_user: 'root',
    ansible_ssh_private_key_file: '/home/x/id',
    ansible_python_interpreter: '/usr/bin/python3',
    p2prc_ports: [30_001],
    p2prc_member: 'aaaa',
    p2prc_id: first.ID,
    p2prc_index: 0,
  })
})

test('inventory --list has the loans and their groups, without damaged records', () => {
  const bad = damaged((loan) => {
    loan.ID = id('ffff')
    loan.Container.SSHUsername = '{{ x }}'
  })
  const groups = [
    { ID: 'grp12-3', Name: '', TrackContainer: [first, bad] },
    { ID: 'grp4', Name: 'my farm', TrackContainer: [second, first] },
  ]
  const list = dynamicInventory([first, second, bad], groups, files) as Record<string, { hosts: string[] }> & {
    _meta: { hostvars: Record<string, Record<string, unknown>> }
  }
  const [one, two] = ['aaaa00000000', 'bbbb00000000']
  assert.deepEqual(Object.keys(list._meta.hostvars), [one, two])
  assert.deepEqual(list.p2prc?.hosts, [one, two])
  assert.deepEqual(list.grp12_3?.hosts, [one])
  assert.deepEqual(list.my_farm?.hosts, [two, one])
  assert.deepEqual(list._meta.hostvars[one as string]?.p2prc_ports, [30_001, 30_002])
  // ssh expands `%`, and both quotes are one of the shell's and one of ssh's.
  assert.equal(
    list._meta.hostvars[one as string]?.ansible_ssh_common_args,
    `-o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile='"/home/x y/known'"'"'hosts%%"'`,
  )
  const { Auth: _, ...ofGo } = loanOf(id('eeee'), '', [sshRecord(2203)])
  assert.equal(
    Object.values(dynamicInventory([ofGo], [], files)._meta.hostvars).map((each) =>
      Reflect.get(each, 'ansible_ssh_common_args'),
    )[0],
    `-o IdentitiesOnly=yes -o StrictHostKeyChecking=accept-new -o HostKeyAlias=p2prc-${id('eeee')} -o HashKnownHosts=no -o UserKnownHostsFile='"/home/x/accepted"'`,
  )
  assert.deepEqual(dynamicInventory([], [], files), {
    _meta: { hostvars: {} },
    all: { children: ['p2prc'] },
    p2prc: { hosts: [] },
  })
})
