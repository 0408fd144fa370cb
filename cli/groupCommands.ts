import type { ReceivedFact } from '../client/transport.ts'
import { EXTRA_PORTS_MAX } from '../protocol/defaults/containerManager.ts'
import { GROUP_MEMBERS_MAX } from '../protocol/defaults/groupTracker.ts'
import { AppError, exitCodeOf } from '../protocol/errors.ts'
import type { Group, MemberFailure } from '../protocol/groups.ts'
import { wholeNumber } from './commandLine.ts'
import * as show from './groupTables.ts'
import { openedHome } from './openedHome.ts'
import { type Call, confirmAction, type Handler } from './runCommand.ts'
import { shortId } from './tables.ts'

/** The handlers of the group commands. */
export const groupCommands = {
  async 'group create'({ args, option, has, request, terminal, legacy }) {
    const { userKey } = await import('./keyFile.ts')
    const count = (name: string, min: number, max: number) =>
      option(name) === undefined ? 0 : wholeNumber(`--${name}`, option(name) as string, min, max)
    const many = { count: count('count', 1, GROUP_MEMBERS_MAX), nearest: count('nearest', 1, GROUP_MEMBERS_MAX) }
    if (many.count > 0 && !option('on') && many.nearest === 0)
      throw new AppError('bad_request', { why: '--count needs --on or --nearest', todo: 'Name the machines.' })
    const { group, failures } = await request({
      type: 'group.create',
      name: option('name') ?? '',
      members: args,
      on: (option('on') ?? '').split(',').filter(Boolean),
      ...many,
      ports: count('ports', 0, EXTRA_PORTS_MAX),
      udpPorts: count('udp-ports', 0, EXTRA_PORTS_MAX),
      gpu: has('gpu'),
      image: option('image') ?? '',
      ...(await userKey(option('key'))),
    })
    const document = { ...show.groupDocument(group, legacy), ...(failures.length > 0 && { Failures: failures }) }
    terminal.value(document, () => show.groupText(group, terminal.style))
    for (const failure of failures) terminal.note(show.failureLine(failure))
    return worstExit(failures.map(({ code }) => exitCodeOf(code)))
  },

  async 'group ls'({ request, terminal, legacy }) {
    const { groups } = await request({ type: 'group.list' })
    terminal.value(show.groupsDocument(groups, legacy), () => show.groupsTable(groups, terminal.style))
  },

  async 'group show'({ args: [id = ''], request, terminal, legacy }) {
    const { group } = await request({ type: 'group.show', id })
    terminal.value(show.groupDocument(group, legacy), () => show.groupText(group, terminal.style))
  },

  async 'group add'({ args: [id = '', ...members], request, terminal, legacy }) {
    const { group } = await request({ type: 'group.add', id, members })
    terminal.value(show.groupDocument(group, legacy), () => show.groupText(group, terminal.style))
  },

  async 'group remove'({ args: [id = '', ...members], request, terminal, legacy }) {
    const { group } = await request({ type: 'group.remove', id, members })
    terminal.value(show.groupDocument(group, legacy), () => show.groupText(group, terminal.style))
  },

  async 'group rm'(call) {
    const { args, has, request, terminal, legacy } = call
    const id = args[0] as string
    const containers = has('containers')
    if (containers && !(await confirmAction(`Returning every container of ${id} with its /data`, call))) return 1
    const onFact = (fact: ReceivedFact) => {
      const failures = (fact.failures ?? []) as MemberFailure[]
      for (const failure of failures) terminal.note(show.failureLine(failure))
    }
    const deleted = await request({ type: 'group.delete', id, containers }, onFact)
    const text = `Deleted ${show.shortGroupId(deleted.id)}${containers ? `, returned ${deleted.returned.length} containers` : ''}`
    terminal.done({ ID: deleted.id, Returned: deleted.returned }, text, legacy)
  },

  async 'group exec'({ args: [id = '', ...words], rest, has, request, terminal }) {
    const [command, retryFailed] = [[...words, ...rest], has('retry-failed')]
    if (command.length === 0 && !retryFailed)
      throw new AppError('usage', { usage: 'group exec <group> -- <command>', name: 'group exec' })
    const { results } = await request({ type: 'group.exec', id, command, retryFailed }, (fact) => {
      if (fact.type === 'group.output') {
        const prefix = terminal.style('dim', `${shortId(fact.id)} |`)
        terminal.line(fact, `${prefix} ${fact.line}`, fact.stream)
      } else if (terminal.json) terminal.line(fact, '')
    })
    const bad = results.filter((result) => result.exit !== 0)
    if (results.length === 0) terminal.note(`Nothing to repeat: the last command failed nowhere in ${id}`)
    if (bad.length > 0) {
      terminal.note(`${bad.length} of ${results.length} containers failed; --retry-failed repeats it in those`)
      for (const result of bad) terminal.note(show.execLine(result))
    }
    return worstExit(results.map(({ exit, failure }) => exit ?? exitCodeOf(failure?.code ?? 'internal')))
  },

  async 'group ssh-config'(call) {
    const { group } = await call.request({ type: 'group.show', id: call.args[0] as string })
    const text = await hostEntries(group, call)
    call.terminal.line({ ID: group.ID, text }, text.trimEnd())
  },
} satisfies Record<string, Handler>

async function hostEntries(shown: show.Group, call: Call): Promise<string> {
  // No password is in a Host entry, so that it does not matter that it is a plain string here.
  const group = shown as Group
  const { sshConfigOf } = await import('./inProcess.ts')
  const { paths } = await openedHome(call)
  return sshConfigOf(group.TrackContainer, [group], paths)
}

/** The highest exit code, so that a script sees any failure; undefined if there is none. */
function worstExit(codes: readonly number[]): number | undefined {
  return codes.reduce((worst, code) => Math.max(worst, code), 0) || undefined
}
