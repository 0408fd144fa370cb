import type { Readable } from 'node:stream'
import type { HostStats } from '../../machines/pluginRun.ts'
import type { TaskStep } from '../../protocol/pluginRunner.ts'

/** One line of `ansible/p2prc_events.py`. */
export type AnsibleEvent =
  | { kind: 'start'; version: string }
  | { kind: 'task'; step: TaskStep }
  | { kind: 'stats'; hosts: Record<string, HostStats> }
  | { kind: 'unknown' }

const statuses = new Set(['running', 'ok', 'changed', 'skipped', 'failed', 'ignored', 'unreachable'])

/** Parses one line. Its texts come from the containers, so terminal control sequences are removed. */
export function parseEvent(line: string): AnsibleEvent {
  let event: Record<string, unknown>
  try {
    event = JSON.parse(line)
  } catch {
    return { kind: 'unknown' }
  }
  if (event.kind === 'start') return { kind: 'start', version: plain(event.version) }
  if (event.kind === 'stats') return { kind: 'stats', hosts: event.hosts as Record<string, HostStats> }
  if (event.kind !== 'task' || !statuses.has(String(event.status))) return { kind: 'unknown' }
  const status = event.status as TaskStep['status']
  const [member, task, item, message = ''] = [event.host, event.task, event.item, event.message].map(plain)
  return { kind: 'task', step: { member, task, item, status, message: sshReason(message) } as TaskStep }
}

/** The reason that ssh gives, out of Mitogen's `EOF on stream; last 100 lines received: ssh: connect to host … port …: …`. */
function sshReason(message: string): string {
  if (!/\bEOF on stream\b/i.test(message)) return message
  const [, reason] = /\bssh: (?:connect to host \S+ port \d+: )?([^:?]+)/.exec(message) ?? []
  return reason ? `ssh: ${reason.trim().toLowerCase()}` : message
}

const TAIL_CHARACTERS = 8_192

/** Records the last output of the streams, interleaved, and returns a function that reads it. */
export function captureTail(streams: readonly Readable[]): () => string {
  let text = ''
  for (const stream of streams) {
    stream.setEncoding('utf8')
    stream.on('data', (chunk: string) => {
      text = (text + chunk).slice(-TAIL_CHARACTERS)
    })
  }
  return () => text
}

const REASON_CHARACTERS = 600

/**
 * Returns the reason that Ansible printed for a failure: its output from the last `ERROR!` on, or else the last
 * lines.
 */
export function errorReason(output: string): string {
  const at = output.lastIndexOf('ERROR!')
  const reason = at < 0 ? output.trim().slice(-REASON_CHARACTERS) : output.slice(at + 'ERROR!'.length)
  return plain(reason.trim()).slice(0, REASON_CHARACTERS) || 'ansible-playbook ended without saying why'
}

function plain(value: unknown): string {
  const text = typeof value === 'string' ? value : value === undefined ? '' : String(value)
  return text.replace(/\s+/g, ' ').replace(/\p{Cc}/gu, '?')
}
