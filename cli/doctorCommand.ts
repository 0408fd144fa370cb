import type { Finding } from '../protocol/doctor.ts'
import type { Handler } from './runCommand.ts'
import { ageText } from './tables.ts'
import { type Terminal, table } from './terminal.ts'

/** The handler of the command that says what does not work, and what to do about it. */
export const doctorCommand = {
  async doctor({ args: [where], request, terminal }) {
    const { findings } = await request({ type: 'doctor.examine', ...(where !== undefined && { where }) })
    const broken = findings.find(({ state }) => state === 'broken')
    const document = { well: !broken, ...(broken && { broken: broken.check }), findings }
    terminal.value(document, () => findingsText(findings, terminal.style))
    return broken ? 1 : 0
  },
} satisfies Record<string, Handler>

export function findingsText(findings: readonly Finding[], style: Terminal['style'], now = Date.now()): string {
  const rows = findings.map(({ check, state, at, what }) => [check, state, `${ageText(now - at)} ago`, what])
  const broken = findings.find(({ state }) => state === 'broken')
  const conclusion = broken
    ? `${style('red', '✗')} ${broken.check}: ${broken.what}. ${broken.remedy ?? ''}`
    : `${style('green', '✓')} Nothing is broken`
  return `${table(['CHECK', 'STATE', 'PROVED', 'WHAT'], rows, style)}\n\n${conclusion.trim()}`
}
