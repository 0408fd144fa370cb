import { AppError } from '../protocol/errors.ts'
import { type CommandLineSpec, type CommandName, commandLines } from './cliCommands.ts'
import { commonFlags, type FlagSpec, flags } from './flags.ts'
import { suggest } from './suggest.ts'

/** A command line in canonical form. Every value is the string that was typed: `01e5` and `007` are ids, not numbers. */
export interface CommandLine {
  /** Undefined where nothing was asked but help or the version. */
  command: CommandName | undefined
  /** The first word of the commands that help is asked of, such as `group`. */
  parentCommand?: string
  args: string[]
  /** By the flag's name; a switch is `true`. */
  options: Map<string, string | true>
  /** What stood behind `--`. */
  rest: string[]
  /** Whether the command came as P2PRC's flag, as in scripts written for it. */
  legacy: boolean
}

const flagsByName = new Map(flags.flatMap((flag) => [flag.name, ...flag.aliases].map((name) => [name, flag] as const)))
const specs: ReadonlyMap<string, CommandLineSpec> = new Map(commandLines.map((spec) => [spec.name, spec]))
/** First words of commands of two words, with the second ones. */
const subcommands = new Map<string, string[]>()
for (const [first = '', second] of commandLines.map(({ name }) => name.split(' ')))
  if (second !== undefined) subcommands.set(first, [...(subcommands.get(first) ?? []), second])

/**
 * Reads a command line as Go's flag package does: one dash or two, `--flag value` or `--flag=value`, and letters are
 * never clustered, so that `-us` is `--us` and not `-u -s`. Flags may stand before, between and behind the arguments.
 * Throws `unknown_flag`, `unknown_command`, `missing_value` or `bad_request`.
 */
export function readCommandLine(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CommandLine {
  const words: string[] = []
  const options = new Map<string, string | true>()
  const commandFlags: CommandFlag[] = []
  const end = argv.indexOf('--')
  const given = end < 0 ? argv : argv.slice(0, end)
  for (let index = 0; index < given.length; index += 1) {
    const word = given[index] as string
    if (!isFlag(word)) {
      words.push(word)
      continue
    }
    const { flag, value: attached } = parseFlag(word, words)
    let value = attached
    if (flag.value !== undefined && value === undefined) {
      index += 1
      value = given[index]
      // `--ports -1` has a value, though a bad one; `--id --json` has none.
      if (value === undefined || known(value)) throw new AppError('missing_value', { name: `--${flag.name}` })
    }
    const flagValue = flag.value === undefined ? parseSwitch(flag, value) : (value as string)
    if (flagValue === false) continue
    if (flag.aliasFor) commandFlags.push({ flag, value: flagValue })
    else if (flag.repeatable) {
      const values = [options.get(flag.name), flagValue]
      // The words up to the next flag are its values too, where the first one stood apart.
      while (attached === undefined && index + 1 < given.length && !isFlag(given[index + 1] as string))
        values.push(given[++index])
      options.set(flag.name, values.filter(Boolean).join(','))
    } else options.set(flag.name, flagValue)
  }
  const [first] = words
  if (commandFlags.length === 0 && (first === 'help' || (first === 'version' && words.length === 1))) {
    options.set(first, true)
    words.shift()
  }
  return validated(
    {
      ...resolveCommand(words, commandFlags, options),
      options,
      rest: end < 0 ? [] : argv.slice(end + 1),
      legacy: commandFlags.length > 0,
    },
    env,
  )
}

/** A flag that is a command. */
interface CommandFlag {
  flag: FlagSpec
  value: string | true
}

function resolveCommand(
  words: string[],
  commandFlags: readonly CommandFlag[],
  options: Map<string, string | true>,
): Pick<CommandLine, 'command' | 'args' | 'parentCommand'> {
  if (commandFlags.length > 1) throw new AppError('bad_request', { why: 'One command at a time, please' })
  const [flagged] = commandFlags
  if (flagged) {
    if (words.length > 0) throw new AppError('unknown_command', { name: words.join(' ') })
    const { flag, value } = flagged
    const command = flag.aliasForWith?.find(([name]) => options.has(name))?.[1] ?? (flag.aliasFor as CommandName)
    if (flag.implies) options.set(flag.implies, true)
    if (command === 'rm' && !options.has('id')) throw new AppError('missing_value', { name: '--id' })
    return withFlagArguments(command, value === true ? [] : [value], options)
  }
  for (const count of [2, 1]) {
    const name = words.slice(0, count).join(' ')
    if (specs.has(name)) return withFlagArguments(name as CommandName, words.slice(count), options)
  }
  const [first = '', second] = words
  if (words.length === 0) return { command: undefined, args: [] }
  if (options.has('help') && subcommands.has(first)) return { command: undefined, args: [], parentCommand: first }
  throw unknownCommand(first, second)
}

function unknownCommand(first: string, second: string | undefined): AppError {
  const seconds = subcommands.get(first)
  if (seconds && second === undefined) {
    const why = `"${first}" needs another word: ${seconds.join(', ')}`
    return new AppError('bad_request', { why, todo: `See \`p2prc ${first} --help\`.` })
  }
  const suggestion = seconds ? suggest(second ?? '', seconds) : suggest(first, [...subcommands.keys(), ...specs.keys()])
  const known = seconds ? `${first} ${suggestion}` : suggestion
  const help = seconds ? `p2prc ${first} --help` : 'p2prc --help'
  return new AppError('unknown_command', {
    name: seconds ? `${first} ${second}` : first,
    todo: suggestion ? `Did you mean \`p2prc ${known}\`? See \`${help}\`.` : `See \`${help}\`.`,
  })
}

/** `--ip` and `--id` are P2PRC's way to say which machine and which container: arguments here. */
function withFlagArguments(command: CommandName, args: string[], options: Map<string, string | true>) {
  const spec = specs.get(command)
  for (const name of ['ip', 'id']) {
    const value = options.get(name)
    if (typeof value !== 'string' || !spec?.flags.includes(name) || !isArgument(name, spec.args)) continue
    options.delete(name)
    args.push(value)
  }
  return { command, args }
}

function isArgument(name: string, args: string): boolean {
  return name === 'ip' ? args === '<where>' : /<(\.\.\.)?id>/.test(args)
}

function validated(line: CommandLine, env: Readonly<Record<string, string | undefined>>): CommandLine {
  const accepted = line.command
    ? [...(specs.get(line.command)?.flags ?? []), ...commonFlags]
    : ['help', 'version', 'json']
  for (const name of line.options.keys()) {
    if (name === 'version' || accepted.includes(name)) continue
    const why = line.command ? `"${line.command}" takes no --${name}` : `--${name} needs a command`
    throw new AppError('bad_request', { why })
  }
  for (const name of accepted) {
    const flag = flagsByName.get(name)
    const value = flag && isFromEnvironment(flag, line.command) ? env[variableOf(flag)] : undefined
    if (!flag || !value || line.options.has(name)) continue
    const flagValue = flag.value === undefined ? parseSwitch(flag, value) : value
    if (flagValue !== false) line.options.set(name, flagValue)
  }
  return line
}

function isFromEnvironment({ env }: FlagSpec, command: CommandName | undefined): boolean {
  return env === true || (env !== undefined && command !== undefined && env.includes(command))
}

/** The variable that stands for a flag, `P2PRC_UDP_PORTS` for `--udp-ports`. */
export function variableOf(flag: FlagSpec): string {
  return `P2PRC_${flag.name.toUpperCase().replaceAll('-', '_')}`
}

/** A single dash is an argument, as everywhere. */
function isFlag(word: string): boolean {
  return word.length > 1 && word.startsWith('-')
}

function split(word: string): [name: string, value: string | undefined] {
  const body = word.replace(/^--?/, '')
  const equals = body.indexOf('=')
  return equals < 0 ? [body, undefined] : [body.slice(0, equals), body.slice(equals + 1)]
}

function known(word: string): boolean {
  return isFlag(word) && flagsByName.has(split(word)[0])
}

function parseFlag(word: string, before: readonly string[]): { flag: FlagSpec; value: string | undefined } {
  const [name, value] = split(word)
  const flag = flagsByName.get(name)
  if (!flag) throw unknownFlag(word.split('=')[0] as string, before)
  return { flag, value }
}

function unknownFlag(name: string, before: readonly string[]): AppError {
  const spec = specs.get(before.slice(0, 2).join(' ')) ?? specs.get(before[0] ?? '')
  const suggestion = suggest(name.replace(/^--?/, ''), spec ? [...spec.flags, ...commonFlags] : flagsByName.keys())
  const dashed = suggestion && `${suggestion.length > 1 ? '--' : '-'}${suggestion}`
  const todo = spec?.args.endsWith('[...command]')
    ? `Put what is meant for the container behind --, as in \`p2prc ${spec.name} ${placeholder(spec)} -- ls -l\`.`
    : `${dashed ? `Did you mean ${dashed}? ` : ''}See \`p2prc ${spec ? `${spec.name} ` : ''}--help\`.`
  return new AppError('unknown_flag', { name, todo })
}

function placeholder({ args }: CommandLineSpec): string {
  return /<(\w+)>/.exec(args)?.[1]?.toUpperCase() ?? ''
}

function parseSwitch(flag: FlagSpec, value: string | undefined): true | false {
  if (value === undefined || /^(1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw new AppError('bad_request', { why: `--${flag.name} is on or off and takes no "${value}"` })
}

/** A number as people type it: digits alone, no sign, no exponent. Throws `bad_count`. */
export function wholeNumber(name: string, value: string, min: number, max: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw new AppError('bad_count', { name, min, max, value })
}
