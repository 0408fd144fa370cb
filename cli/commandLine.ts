import { type CAC, cac } from 'cac'
import { AppError } from '../protocol/errors.ts'
import { type CommandLineSpec, type CommandName, commandLines, usage } from './cliCommands.ts'
import {
  commonFlags,
  type FlagSpec,
  flags,
  flagsBySpelling,
  isFlag,
  notation,
  optionName,
  variableOf,
} from './flags.ts'
import { isOn, normalizeArgv, unguarded } from './normalizeArgv.ts'
import { suggest } from './suggest.ts'

/** A command line in canonical form. Every value is the string that was typed: `01e5` and `007` are ids, not numbers. */
export interface CommandLine {
  /** Undefined if only help or the version was requested. */
  command: CommandName | undefined
  /** The first word of the commands to show help for, such as `group`. */
  parentCommand?: string
  args: string[]
  /** By the flag's name; a switch is `true`. */
  options: Map<string, string | true>
  /** The words after `--`. */
  rest: string[]
  /** Whether the command was given as one of P2PRC's flags, as in scripts written for Go P2PRC. */
  legacy: boolean
}

const flagsByOption = new Map(flags.map((flag) => [optionName(flag), flag]))
const specs: ReadonlyMap<string, CommandLineSpec> = new Map(commandLines.map((spec) => [spec.name, spec]))
/** The second words of two-word commands, by their first word. */
const subcommands = new Map<string, string[]>()
for (const [first = '', second] of commandLines.map(({ name }) => name.split(' ')))
  if (second !== undefined) subcommands.set(first, [...(subcommands.get(first) ?? []), second])

/**
 * Parses a command line with cac. Flags may be given before, between and after the arguments. The environment sets
 * the defaults of flags. Throws `unknown_flag`, `unknown_command`, `missing_value`,
 * `usage` or `bad_request`.
 */
export function readCommandLine(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): CommandLine {
  const cli = cac('p2prc')
  const given = normalizeArgv(argv)
  const names = new Set(given.map((word) => word.slice(2).split('=', 1)[0]))
  // Only the flags in use are declared, since declaring all of them takes longer than parsing.
  for (const [name, flag] of flagsByOption) if (names.has(name)) cli.option(...notation(flag))
  const parsed = cli.parse(['node', 'p2prc', ...given], { run: false })
  const words = parsed.args.map(unguarded)
  // cac cannot report unknown flags reliably: it gives `--no-x`, `--x.y` and `--constructor` other meanings.
  const unknown = words.findIndex(isFlag)
  if (unknown >= 0) throw unknownFlag(words[unknown] as string, words.slice(0, unknown))
  const { options, commandFlags } = optionsOf(parsed.options)
  const [first] = words
  if (commandFlags.length === 0 && (first === 'help' || (first === 'version' && words.length === 1))) {
    options.set(first, true)
    while (words[0] === first) words.shift()
  }
  const line = withEnvironment(
    {
      ...resolveCommand(words, commandFlags, options),
      options,
      rest: parsed.options['--'],
      legacy: commandFlags.length > 0,
    },
    env,
  )
  const spec = specs.get(line.command ?? '')
  // Behind `--`, words are arguments even if they look like flags; only a command for a container is kept apart.
  if (spec && !spec.args.endsWith('[...command]')) line.args.push(...line.rest.splice(0))
  if (spec && !options.has('help') && !options.has('version')) checkArguments(cli, spec, line.args)
  return line
}

/** The values that cac has parsed, as they were typed. If a flag that takes one value is repeated, the last value counts. */
function optionsOf(parsed: Readonly<Record<string, unknown>>) {
  const options: CommandLine['options'] = new Map()
  const commandFlags: CommandFlag[] = []
  for (const [name, given] of Object.entries(parsed)) {
    const flag = flagsByOption.get(name)
    if (!flag) continue
    const all: unknown[] = [given].flat()
    // cac returns `true` if the value is missing.
    // `--touch --help` asks for the help of the command that the flag means.
    const isHelp = flag.aliasFor !== undefined && parsed.help === true
    if (flag.value !== undefined && all.includes(true) && !isHelp)
      throw new AppError('missing_value', { name: `--${flag.name}` })
    const values = all.filter((value) => value !== false).map((value) => value === true || unguarded(String(value)))
    if (flag.aliasFor) commandFlags.push(...values.map((value) => ({ flag, value })))
    else if (flag.repeatable) options.set(flag.name, values.filter(Boolean).join(','))
    else if (all.at(-1) !== false) options.set(flag.name, values.at(-1) ?? true)
  }
  return { options, commandFlags }
}

/** Lets cac check the number of arguments. Throws `usage` or `bad_request`. */
function checkArguments(cli: CAC, spec: CommandLineSpec, args: string[]): void {
  const command = cli.command(usage(spec), spec.help)
  cli.args = args
  try {
    command.checkRequiredArgs()
  } catch (error) {
    throw new AppError('usage', { usage: usage(spec), name: spec.name }, error)
  }
  const taken = spec.args.match(/[<[][^>\]]+[>\]]/g) ?? []
  const empty = taken.find((name, index) => !name.includes('...') && args[index] === '')
  if (empty) throw new AppError('bad_request', { why: `${empty.replace(/\W/g, '').toUpperCase()} is empty` })
  try {
    command.checkUnusedArgs()
  } catch (error) {
    const why = (error as Error).message.replace(/^Unused args:/, `"${spec.name}" takes no`).replaceAll('`', '"')
    throw new AppError('bad_request', { why, todo: 'Leave it out, or see `p2prc --help`.' }, error)
  }
}

/** A flag that names a command, with its value. */
interface CommandFlag {
  flag: FlagSpec
  value: string | true
}

function resolveCommand(
  words: string[],
  commandFlags: readonly CommandFlag[],
  options: Map<string, string | true>,
): Pick<CommandLine, 'command' | 'args' | 'parentCommand'> {
  if (commandFlags.length > 1) throw new AppError('bad_request', { why: 'Only one command can be given at a time' })
  const [flagged] = commandFlags
  if (flagged) {
    const { flag, value } = flagged
    if (words.length > 0) {
      const { command } = resolveCommand(words, [], options)
      throw new AppError('bad_request', {
        why: `"${command}" and --${flag.name} are two commands`,
        todo: 'Give one of them.',
      })
    }
    const command = flag.aliasForWith?.find(([name]) => options.has(name))?.[1] ?? (flag.aliasFor as CommandName)
    if (flag.implies) options.set(flag.implies, true)
    if (command === 'rm' && !options.has('id')) throw new AppError('missing_value', { name: '--id' })
    if (flag.valueFor && value !== true) options.set(flag.valueFor, value)
    return withFlagArguments(command, value === true || flag.valueFor ? [] : [value], options)
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

/** P2PRC names the machine and the container with `--ip` and `--id`; here they are arguments. */
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

function withEnvironment(line: CommandLine, env: Readonly<Record<string, string | undefined>>): CommandLine {
  const accepted = line.command
    ? [...(specs.get(line.command)?.flags ?? []), ...commonFlags]
    : ['help', 'version', 'json']
  for (const name of line.options.keys()) {
    if (name === 'version' || accepted.includes(name)) continue
    const why = line.command ? `"${line.command}" takes no --${name}` : `--${name} needs a command`
    throw new AppError('bad_request', { why })
  }
  for (const name of accepted) {
    const flag = flagsBySpelling.get(name)
    const value = flag && isFromEnvironment(flag, line.command) ? env[variableOf(flag)] : undefined
    if (!flag || !value || line.options.has(name)) continue
    const flagValue = flag.value === undefined ? isOn(flag, value) : value
    if (flagValue !== false) line.options.set(name, flagValue)
  }
  return line
}

function isFromEnvironment({ env }: FlagSpec, command: CommandName | undefined): boolean {
  return env === true || (env !== undefined && command !== undefined && env.includes(command))
}

function unknownFlag(word: string, before: readonly string[]): AppError {
  const [name = ''] = word.split('=')
  const spec = specs.get(before.slice(0, 2).join(' ')) ?? specs.get(before[0] ?? '')
  const suggestion = suggest(name.replace(/^--?/, ''), spec ? [...spec.flags, ...commonFlags] : flagsBySpelling.keys())
  const dashed = suggestion && `${suggestion.length > 1 ? '--' : '-'}${suggestion}`
  const todo = spec?.args.endsWith('[...command]')
    ? `Put what is meant for the container behind --, as in \`p2prc ${spec.name} ${placeholder(spec)} -- ls -l\`.`
    : `${dashed ? `Did you mean ${dashed}? ` : ''}See \`p2prc ${spec ? `${spec.name} ` : ''}--help\`.`
  return new AppError('unknown_flag', { name, todo })
}

function placeholder({ args }: CommandLineSpec): string {
  return /<(\w+)>/.exec(args)?.[1]?.toUpperCase() ?? ''
}

/** Parses a whole number: digits only, without sign or exponent. Throws `bad_count`. */
export function wholeNumber(name: string, value: string, min: number, max: number): number {
  const number = /^\d{1,9}$/.test(value) ? Number(value) : Number.NaN
  if (number >= min && number <= max) return number
  throw new AppError('bad_count', { name, min, max, value })
}
