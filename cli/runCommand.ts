import { AppError, toAppError } from '../protocol/errors.ts'
import { type CommandLineSpec, type CommandName, commandLines } from './cliCommands.ts'
import { type CommandLine, readCommandLine } from './commandLine.ts'
import type { ReceivedFact, RequestOptions, request } from './controlClient.ts'
import { commonFlags, type FlagSpec, flags } from './flags.ts'
import { helpSections, notation } from './help.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** What a command of `cli.ts` gets. It parses its words, asks once, and shows the answer. */
export interface Call {
  args: string[]
  /** What stood behind `--`. */
  rest: string[]
  /** Whether it was asked for with P2PRC's flags, as scripts do. */
  legacy: boolean
  option(name: string): string | undefined
  has(name: string): boolean
  terminal: Terminal
  /** Sends one command and waits for its end; progress is shown unless `onFact` takes the facts. */
  request: typeof request
  /** Aborts with Ctrl-C and SIGTERM. */
  signal: AbortSignal
  /** Leaves Ctrl-C to a program that has taken over the terminal. */
  ignoreInterrupts(): void
}

/** Returns the exit code where it is not the usual one: 0, or 130 after Ctrl-C. */
export type Handler = (call: Call) => Promise<number | undefined>

/** Runs one command line and resolves with the exit code. Everything that is thrown ends here, as one line on stderr. */
export async function runCommandLine(
  handlers: Record<CommandName, Handler>,
  { argv, version }: { argv: readonly string[]; version: string },
): Promise<number> {
  let interrupts: Interrupts | undefined
  let terminal: Terminal | undefined
  try {
    const line = readCommandLine(argv, process.env)
    if (line.options.has('version')) {
      process.stdout.write(`p2prc version ${version}\n`)
      return 0
    }
    interrupts = watchInterrupts()
    const has = (name: string) => line.options.has(name)
    terminal = createTerminal({ json: has('json'), quiet: has('quiet'), plain: Boolean(process.env.NO_COLOR) })
    const code = await dispatch(handlers, line, terminal, interrupts)
    if (interrupts.signal.aborted) terminal.clearLine()
    return code ?? (interrupts.signal.aborted ? new AppError('interrupted').exit : 0)
  } catch (error) {
    const appError = interrupts?.signal.aborted ? new AppError('interrupted') : translateError(error)
    terminal ??= createTerminal({ json: false, quiet: false, plain: true })
    if (interrupts?.signal.aborted) terminal.clearLine()
    terminal.note(appError.message)
    return appError.exit
  } finally {
    interrupts?.ignore()
  }
}

/** Asks a person; in a script, `--yes` has to say it. Throws `needs_yes`. */
export async function confirmAction(what: string, { has, terminal, signal }: Call): Promise<boolean> {
  if (has('yes')) return true
  if (!terminal.interactive) throw new AppError('needs_yes', { what })
  if (await terminal.confirm(`${what}. Go on?`, signal)) return true
  terminal.note('Nothing was done')
  return false
}

async function dispatch(
  handlers: Record<CommandName, Handler>,
  line: CommandLine,
  terminal: Terminal,
  interrupts: Interrupts,
): Promise<number | undefined> {
  const { cac } = await import('cac')
  const cli = cac('p2prc')
  const common = line.command ? commonFlags : [...commonFlags, 'version']
  for (const flag of flags) if (common.includes(flag.name) && flag.name !== 'help') cli.option(...notation(flag))
  cli.help((sections) => helpSections(sections, line))
  for (const spec of commandLines) {
    // cac reads the whole line anew for each command that it knows, which forty of them would make felt.
    if (line.command && line.command !== spec.name) continue
    if (line.parentCommand && !spec.name.startsWith(`${line.parentCommand} `)) continue
    const command = cli.command(usage(spec), spec.help)
    for (const flag of flags) if (accepts(spec, flag)) command.option(...notation(flag, spec.name))
    command.action((...given: unknown[]) => {
      const options = given.pop() as Record<string, unknown>
      const value = (name: string) => options[name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())]
      return handlers[spec.name]({
        args: (given.flat() as (string | undefined)[]).filter((word) => word !== undefined).map(unguarded),
        rest: line.rest,
        legacy: line.legacy,
        option: (name) => (typeof value(name) === 'string' ? unguarded(value(name) as string) : undefined),
        has: (name) => value(name) === true,
        terminal,
        async request(type, payload, expected, options) {
          // Node's HTTP is loaded for commands that ask, not for help and the version.
          const { request } = await import('./controlClient.ts')
          return request(type, payload, expected, {
            ...progressOptions(terminal),
            signal: interrupts.signal,
            ...options,
          })
        },
        signal: interrupts.signal,
        ignoreInterrupts: interrupts.ignore,
      })
    })
  }
  cli.parse(guarded(line), { run: false })
  if (line.options.has('help') || line.command) return cli.runMatchedCommand()
  cli.outputHelp()
  return 0
}

function progressOptions(terminal: Terminal): RequestOptions {
  const onFact = ({ type, member, step, line }: ReceivedFact) => {
    const whose = member === undefined ? '' : `${member}: `
    // These say themselves what they are; a line of an image that is built, or a figure, does not.
    const of = step === undefined || /^(create|start|ssh)$/.test(String(step)) ? '' : `${step}: `
    if (type.endsWith('.progress')) terminal.progress(`${whose}${of}${line}`)
  }
  return { onFact, onNote: terminal.note }
}

/** cac makes numbers of what looks like one; nothing that begins with this does. */
const GUARD = '='

function guarded({ command, args, options }: CommandLine): string[] {
  const given = [...options].map(([name, value]) => (value === true ? `--${name}` : `--${name}=${GUARD}${value}`))
  return ['node', 'p2prc', ...(command ? [command] : []), ...args.map((word) => GUARD + word), ...given]
}

const unguarded = (word: string): string => word.slice(GUARD.length)

function usage({ name, args }: CommandLineSpec): string {
  return `${name} ${args}`.trim()
}

function accepts({ flags }: CommandLineSpec, { name }: FlagSpec): boolean {
  return flags.includes(name)
}

function translateError(error: unknown): AppError {
  const { name, message } = error as Error
  if (name !== 'CACError') return toAppError(error)
  const command = /`([^`]+)`/.exec(message)?.[1]
  const spec = commandLines.find((candidate) => usage(candidate) === command)
  if (spec) return new AppError('usage', { usage: usage(spec), name: spec.name }, error)
  if (message.startsWith('Unused args')) {
    const why = message
      .replaceAll(GUARD, '')
      .replace(/^Unused args:/, 'It takes no')
      .replaceAll('`', '"')
    return new AppError('bad_request', { why, todo: 'Leave it out, or see `p2prc --help`.' }, error)
  }
  return new AppError('bad_request', { why: message.replaceAll(GUARD, '') }, error)
}

interface Interrupts {
  signal: AbortSignal
  ignore(): void
}

/** The first Ctrl-C asks for an orderly end, a second one ends the process. */
function watchInterrupts(): Interrupts {
  const abort = new AbortController()
  let ignored = false
  const interrupt = () => {
    if (ignored) return
    if (abort.signal.aborted) process.exit(130)
    abort.abort()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', interrupt)
  return {
    signal: abort.signal,
    ignore() {
      ignored = true
    },
  }
}
