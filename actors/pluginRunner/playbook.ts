import { AppError } from '../../protocol/errors.ts'

const index = /\{\{-?\s*index\s+\.\s+(\d{1,3})\s*-?\}\}/g
const otherGoAction = /\{\{-?\s*(?:index\s+\.|range\s+[.$]|with\s+[.$]|if\s+[.$]|len\s+\.|printf\s+"|\.\s*-?\}\})/

/**
 * Converts P2PRC's `site.yml` to a playbook for Ansible. P2PRC fills it as a Go template over a list of port numbers;
 * here `{{index . N}}` becomes a lookup in the host's own variable, so that each member has its own ports and
 * Ansible's `{{ variables }}` stay unchanged. Throws `plugin_bad` if the playbook names more ports than the plugin
 * requests, or if it uses any other template action.
 */
export function toPlaybook(text: string, name: string, ports: number): string {
  const lines = text.split('\n').map((line) => {
    const replaced = line.replace(index, (_, digits: string) => {
      const index = Number(digits)
      if (index >= ports)
        throw new AppError('plugin_bad', { name, why: `it uses port ${index}, and its ports.json asks for ${ports}` })
      return `{{ p2prc_ports[${index}] }}`
    })
    return replaced === line ? line : quotedWhereItBegins(replaced)
  })
  const playbook = lines.join('\n')
  const other = otherGoAction.exec(playbook)
  if (other)
    throw new AppError('plugin_bad', {
      name,
      why: `its site.yml has the Go template action "${other[0]}…"; only {{index . N}} is known`,
    })
  return playbook
}

/**
 * Quotes a value that begins with a lookup, because YAML would read a plain value that begins with `{` as a map. A
 * comment behind the value stays a comment.
 */
function quotedWhereItBegins(line: string): string {
  const value = /^(\s*(?:- +)*(?:[\w.-]+:\s+|- +)?)(\{\{ p2prc_ports\[.*?)(\s+#.*|\s*)$/.exec(line)
  if (!value) return line
  const [, head = '', body = '', tail = ''] = value
  return `${head}'${body.replaceAll("'", "''")}'${tail}`
}

/** What is wrong with the playbook as far as a glance tells, which needs neither Python nor a YAML library; "" if nothing is. */
export function playbookProblem(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !/^\s*#|^(---|%YAML)/.test(line))
  if (lines.some((line) => /^ *\t/.test(line))) return 'its site.yml is indented with tabs'
  if (!/^(- *\S|-$|\[)/.test(lines[0] ?? '')) return 'its site.yml is not a list of plays'
  if (lines.some((line) => /^[^\s[\]-]/.test(line))) return 'its site.yml is not a list of plays'
  return ''
}

/** Throws `bad_request` if a value is not a number although the playbook's own value of the variable, in its `vars`, is one. */
export function assertNumbers(text: string, values: Readonly<Record<string, string>>): void {
  for (const [name, usual] of numbersIn(text)) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined
    if (value !== undefined && !/^-?\d+(\.\d+)?$/.test(value))
      throw new AppError('bad_request', { why: `${name} must be a number, such as ${usual}, not "${value}"` })
  }
}

/** The variables below `vars:` whose value is a plain number. */
function numbersIn(text: string): Map<string, string> {
  const numbers = new Map<string, string>()
  let inVars: number | undefined
  for (const line of text.split('\n')) {
    const [, indent = '', name = '', value = ''] = /^([ -]*)(\w+): *(.*?) *(?:\s#.*)?$/.exec(line) ?? []
    if (name === '') continue
    if (inVars !== undefined && indent.length <= inVars) inVars = undefined
    if (name === 'vars' && value === '') inVars = indent.length
    else if (inVars !== undefined && /^-?\d+(\.\d+)?$/.test(value)) numbers.set(name, value)
  }
  return numbers
}
