import type { MemberResult, PluginRunnerEmits, TaskStep } from '../protocol/pluginRunner.ts'
import { createLiveLines, type Screen } from './liveLines.ts'
import type { Terminal } from './terminal.ts'

// Renders a plugin run from its facts. It keeps the state of each member, so that after SIGINT, when no terminal fact
// arrives any more, it can still report what was done.

/** The progress of one member. */
export interface MemberRow {
  member: string
  /** The number of tasks that succeeded. */
  done: number
  task: string
  status: TaskStep['status'] | 'waiting'
  message: string
}

/** Applies one fact of the run to the rows; other facts change nothing. */
export function updatedRows(rows: readonly MemberRow[], fact: PluginRunnerEmits): readonly MemberRow[] {
  if (fact.type === 'plugin.started')
    return fact.members.map((member) => ({ member, done: 0, task: '', status: 'waiting', message: '' }))
  if (fact.type !== 'plugin.progress') return rows
  return rows.map((row) => (row.member === fact.member ? after(row, fact) : row))
}

function after(row: MemberRow, { task, item, status, message }: TaskStep): MemberRow {
  const named = item ? `${task} (${item})` : task
  const well = status === 'ok' || status === 'changed'
  const done = row.done + (well && item === '' ? 1 : 0)
  // After an item of a loop the task continues with the next item.
  const now = item !== '' && (well || status === 'skipped') ? 'running' : status
  return { ...row, done, task: named, status: now, message: message || row.message }
}

/** The live table, with one line per member. */
export function rowLines(rows: readonly MemberRow[]): string[] {
  const [name, done] = [longest(rows.map(({ member }) => member)), longest(rows.map((row) => String(row.done)))]
  return rows.map(({ member, done: count, task, status }) =>
    `${member.padEnd(name)}  ${String(count).padStart(done)} done  ${status.padEnd(11)}  ${task}`.trimEnd(),
  )
}

/** Formats one step as a plain line for a pipe; undefined for steps that are only shown live. */
export function stepLine({ member, task, item, status, message }: TaskStep): string | undefined {
  if (status === 'running' || (status === 'skipped' && item !== '')) return undefined
  return [`${member} ${status}: ${task}`, item && ` (${item})`, message && `: ${message}`].join('')
}

/** The results of a run: one line per member, failed members last. */
export function resultLines(members: readonly MemberResult[]): string[] {
  const failed = members.filter(({ status }) => status !== 'ok')
  return [...members.filter(({ status }) => status === 'ok'), ...failed].map((result) => {
    const { member, status, done, changed, host, ports, message } = result
    const where = status === 'ok' ? ports.map(({ external }) => ` ${urlHost(host)}:${external}`).join('') : ''
    const counts = `${done} ${done === 1 ? 'task' : 'tasks'}, ${changed} changed`
    return `${status === 'ok' ? '✓' : '✗'} ${member} ${status}: ${counts}${where}${message && `: ${message}`}`
  })
}

/** What each member had done when the run was interrupted. */
export function interruptedLines(rows: readonly MemberRow[]): string[] {
  return rows.map(({ member, done, task, status }) => {
    const last = task === '' ? '' : status === 'running' ? `, stopped in "${task}"` : `, last "${task}" (${status})`
    return `✗ ${member}: ${done} ${done === 1 ? 'task' : 'tasks'} done${last}`
  })
}

/** Shows one run: a live table on a terminal, plain lines elsewhere, the facts themselves with `--json`. */
export function createRunView(terminal: Terminal, screen: Screen & { isTTY?: boolean } = process.stderr) {
  const live = screen.isTTY === true && !terminal.json ? createLiveLines(screen) : undefined
  let rows: readonly MemberRow[] = []
  let failed: readonly MemberResult[] = []
  const print = (fact: unknown, line: string) => {
    const mark = /^[✓✗]/.exec(line)?.[0]
    const styled = mark && terminal.style(mark === '✓' ? 'green' : 'red', mark)
    terminal.line(fact, styled ? styled + line.slice(1) : line)
  }
  return {
    update(fact: PluginRunnerEmits): void {
      rows = updatedRows(rows, fact)
      if (fact.type === 'plugin.runFailed') failed = fact.members
      const line = fact.type === 'plugin.progress' ? stepLine(fact) : undefined
      if (terminal.json) terminal.line(fact, '')
      else if (live) {
        // The message of a successful task stays on the screen; failures are reported at the end.
        if (fact.type === 'plugin.progress' && line && fact.message && isWell(fact)) {
          live.clear()
          print(fact, `${fact.member}: ${fact.message}`)
        }
        live.draw(rowLines(rows))
      } else if (line) print(fact, line)
    },
    /**
     * Prints the results. `members` is undefined after a failure or an interrupt. Returns the results that were
     * printed.
     */
    end(members: readonly MemberResult[] | undefined): readonly MemberResult[] {
      live?.clear()
      if (terminal.json) return []
      const known = members ?? failed
      for (const line of known.length > 0 ? resultLines(known) : interruptedLines(rows)) print({}, line)
      return known
    },
  }
}

function isWell({ status }: TaskStep): boolean {
  return status === 'ok' || status === 'changed'
}

function longest(texts: readonly string[]): number {
  return Math.max(0, ...texts.map((text) => text.length))
}

function urlHost(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
