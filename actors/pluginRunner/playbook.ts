import { defineScalarTag, load, Schema, YAML11_SCHEMA, type YAMLException } from 'js-yaml'
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

/** A value with a tag of Ansible's own, such as `!vault` and `!unsafe`, is read as its text. */
const ansibleTag = defineScalarTag('!', { matchByTagPrefix: true, resolve: (source) => source, identify: () => false })
const schema = new Schema([...YAML11_SCHEMA.tags, ansibleTag])

/** Returns why Ansible could not read a playbook as a list of plays; '' if it can. */
export function playbookProblem(playbook: string): string {
  try {
    const plays = load(playbook, { schema })
    const isList = Array.isArray(plays) && plays.length > 0 && plays.every((play) => Object(play) === play)
    return isList ? '' : 'its site.yml is not a list of plays'
  } catch (error) {
    const { reason = 'cannot be read', mark } = error as Partial<YAMLException>
    return `its site.yml is not YAML${mark ? `, line ${mark.line + 1}` : ''}: ${reason}`
  }
}

/**
 * Throws `bad_request` if a value is not a number although the playbook's own value of the variable, in the `vars` of a
 * play, is one.
 */
export function assertNumbers(playbook: string, values: Readonly<Record<string, string>>): void {
  for (const play of load(playbook, { schema }) as { vars?: unknown }[]) {
    for (const [name, usual] of Object.entries(play.vars ?? {})) {
      const value = Object.hasOwn(values, name) ? values[name] : undefined
      if (typeof usual === 'number' && value !== undefined && !/^-?\d+(\.\d+)?$/.test(value))
        throw new AppError('bad_request', { why: `${name} must be a number, such as ${usual}, not "${value}"` })
    }
  }
}
