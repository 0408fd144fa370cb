import { actorCommands } from './cli/actorCommands.ts'
import type { CommandName } from './cli/cliCommands.ts'
import { wholeNumber } from './cli/commandLine.ts'
import { doctorCommand } from './cli/doctorCommand.ts'
import { exitWith } from './cli/exit.ts'
import { groupCommands } from './cli/groupCommands.ts'
import { loanCommands } from './cli/loanCommands.ts'
import { mapCommands } from './cli/mapCommands.ts'
import { openedHome } from './cli/openedHome.ts'
import { pathCommand } from './cli/pathCommand.ts'
import { peerCommands } from './cli/peerCommands.ts'
import { pluginCommands } from './cli/pluginCommands.ts'
import { relayCommands } from './cli/relayCommands.ts'
import { confirmAction, type Handler, runCommandLine } from './cli/runCommand.ts'
import * as show from './cli/tables.ts'
import { list } from './cli/terminal.ts'
import { version } from './package.json'
import { EXTRA_PORTS_MAX } from './protocol/defaults/containerManager.ts'

/**
 * Each handler reads its arguments, sends ONE command to the node and renders the answer. Its row in
 * `cli/cliCommands.ts` defines its name, arguments and flags; `cli/tables.ts` renders the tables. The handlers for
 * groups, mapped ports, the network and plugins are in files of their own.
 */
const handlers: Record<CommandName, Handler> = {
  ...actorCommands,
  ...doctorCommand,
  ...groupCommands,
  ...loanCommands,
  ...mapCommands,
  ...pathCommand,
  ...peerCommands,
  ...pluginCommands,
  ...relayCommands,

  async 'plugin rm'(call) {
    if (!call.legacy && !(await confirmAction(`Deleting the plugin ${call.args[0]}`, call))) return 1
    await pluginCommands['plugin rm'](call)
  },

  async start({ args, option, has, terminal, signal }) {
    const { runNode } = await import('./cli/daemon.ts')
    const listen = { host: option('host'), port: option('port'), ipService: option('ip-service') }
    const relay = { policy: option('relay'), ports: option('relay-ports'), rate: option('relay-rate') }
    await runNode({ ...listen, relay, bootstrapAddresses: args, open: has('open'), terminal, signal })
    // A node runs until Ctrl-C, so that is not an error.
    return 0
  },

  async stop({ terminal, legacy }) {
    const { stopNode } = await import('./cli/daemon.ts')
    const pid = await stopNode()
    terminal.done({ pid }, `Stopped the node (process ${pid})`, legacy)
  },

  async touch({ args: [where = ''], option, has, request, terminal }) {
    const { userKey } = await import('./cli/keyFile.ts')
    const { loan } = await request({
      type: 'loan.take',
      where,
      ports: wholeNumber('--ports', option('ports') ?? '0', 0, EXTRA_PORTS_MAX),
      udpPorts: wholeNumber('--udp-ports', option('udp-ports') ?? '0', 0, EXTRA_PORTS_MAX),
      gpu: has('gpu'),
      image: option('image') ?? '',
      password: has('password'),
      ...(await userKey(option('key'))),
    })
    terminal.value(loan.Container, () => show.loanText(loan, terminal.style))
  },

  async ssh({ args: [id = '', ...words], rest, request, ignoreInterrupts }) {
    const { sshArgs } = await request({ type: 'loan.find', id })
    const { openShell, shellArgs } = await import('./cli/shell.ts')
    ignoreInterrupts()
    return openShell(shellArgs(sshArgs, [...words, ...rest]))
  },

  async logs({ args: [id = ''], option, has, request, terminal }) {
    const tail = wholeNumber('--tail', option('tail') ?? '200', 0, 1_000_000)
    await request({ type: 'loan.logs', id, follow: has('follow'), tail }, (fact) => {
      if (fact.type === 'loan.logged') terminal.line(fact, fact.line, fact.stream)
    })
  },

  async specs({ args: [where], request, terminal }) {
    const got = where === undefined ? request({ type: 'specs.get' }) : request({ type: 'specs.request', where })
    const { specs } = await got
    terminal.value(specs, () => show.specsText(specs, terminal.style))
  },

  async id({ request, terminal }) {
    const { id, name, key, version } = await request({ type: 'node.show' })
    const pairs: [string, string][] = [
      ['Node id', id],
      ['Name', name],
      ['Key', key],
    ]
    terminal.value({ id, name, key, version }, () => list(pairs, terminal.style))
  },

  async 'trust add'({ args, option, legacy, request, terminal }) {
    const { keyLine } = await import('./cli/keyFile.ts')
    const { peer } = await request({ type: 'trust.add', key: await keyLine(args), name: option('name') ?? '' })
    terminal.done(peer, `${peer.name || peer.id} may borrow here`, legacy)
  },

  async 'trust rm'({ args: [who = ''], legacy, request, terminal }) {
    const { peer } = await request({ type: 'trust.remove', who })
    terminal.done(peer, `${peer.name || peer.id} may no longer borrow here`, legacy)
  },

  async 'trust ls'({ request, terminal }) {
    const { peers } = await request({ type: 'trust.list' })
    terminal.value(peers, () => show.trustTable(peers, terminal.style))
  },

  async lent({ request, terminal }) {
    const { containers } = await request({ type: 'container.list' })
    const { peers } = await request({ type: 'trust.list' })
    terminal.value(containers, () => show.containersTable(containers, peers, terminal.style))
  },

  async evict(call) {
    const { args, legacy, request, terminal } = call
    const id = args[0] as string
    if (!(await confirmAction(`Removing container ${id} with its /data`, call))) return 1
    const removed = await request({ type: 'container.remove', id })
    terminal.done({ id: removed.id }, `Removed ${show.shortId(removed.id)}`, legacy)
  },

  async 'image build'({ request, terminal }) {
    await request({ type: 'image.build' }, (fact) => terminal.line(fact, show.ownerLine(fact) ?? ''))
  },

  async events({ client, terminal, signal }) {
    for await (const event of (await client()).events({ signal })) terminal.line(event, show.eventLine(event))
  },

  async config(call) {
    const { config } = await openedHome(call)
    call.terminal.value(config, () => show.configText(config, call.terminal.style))
  },

  async init(call) {
    const { dir } = await openedHome(call)
    call.terminal.done({ home: dir }, `The home is ${dir}`, call.legacy)
  },
}

exitWith(runCommandLine(handlers, { argv: process.argv.slice(2), version }))
