import type { Client } from '../client/client.ts'
import type { ReceivedFact } from '../client/transport.ts'
import type { AnswerOf, CommandInput, CommandType, FactOf } from '../client/types.ts'
import { AppError, toAppError } from '../protocol/errors.ts'
import type { CommandName } from './cliCommands.ts'
import { type CommandLine, readCommandLine } from './commandLine.ts'
import { closeStreamsAtExit } from './exit.ts'
import { showHelp } from './help.ts'
import { createTerminal, type Terminal } from './terminal.ts'

/** What the handler of a command receives. */
export interface Call {
  args: string[]
  /** The words after `--`. */
  rest: string[]
  /** Whether the command was given as one of P2PRC's flags, as in scripts written for Go P2PRC. */
  legacy: boolean
  option(name: string): string | undefined
  has(name: string): boolean
  terminal: Terminal
  /** The client of the node on this home. */
  client(): Promise<Client>
  /** Sends one command and waits for its answer; progress is shown unless `onFact` is given. */
  request<T extends CommandType>(command: CommandInput<T>, onFact?: (fact: FactOf<T>) => void): Promise<AnswerOf<T>>
  /** Aborts on SIGINT, SIGTERM and SIGHUP. */
  signal: AbortSignal
  /** Stops handling SIGINT, for a child process that has taken over the terminal. */
  ignoreInterrupts(): void
}

/** Returns the exit code; undefined means 0, or 130 after SIGINT. */
export type Handler = (call: Call) => Promise<number | undefined>

/** Runs one command line and resolves with the exit code. Every error is caught here and printed as one line on stderr. */
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
    if (line.command === undefined || line.options.has('help')) {
      showHelp(line)
      return 0
    }
    interrupts = watchInterrupts()
    const has = (name: string) => line.options.has(name)
    terminal = createTerminal({ json: has('json'), quiet: has('quiet'), plain: Boolean(process.env.NO_COLOR) })
    const code = await handlers[line.command](createCall(line, terminal, interrupts))
    if (interrupts.signal.aborted) terminal.clearLine()
    return code ?? (interrupts.signal.aborted ? new AppError('interrupted').exit : 0)
  } catch (error) {
    const appError = interrupts?.signal.aborted ? new AppError('interrupted') : toAppError(error)
    terminal ??= createTerminal({ json: false, quiet: false, plain: true })
    if (interrupts?.signal.aborted) terminal.clearLine()
    terminal.note(appError.message)
    return appError.exit
  } finally {
    interrupts?.ignore()
  }
}

/** Asks for confirmation on a terminal; a script has to give `--yes`. Throws `needs_yes`. */
export async function confirmAction(what: string, call: Call, question = `${what}. Continue?`): Promise<boolean> {
  if (!mustConfirm(what, call) || (await call.terminal.confirm(question, call.signal))) return true
  call.terminal.note('Nothing was changed')
  return false
}

/** Returns whether `--yes` is missing, so that a question must be asked. Throws `needs_yes` where nobody can answer it. */
export function mustConfirm(what: string, { has, terminal }: Call): boolean {
  if (has('yes')) return false
  if (!terminal.interactive) throw new AppError('needs_yes', { what })
  return true
}

function createCall({ args, options, rest, legacy }: CommandLine, terminal: Terminal, interrupts: Interrupts): Call {
  /** Loaded here, so that help and the version do not load Node's HTTP client. */
  async function client(): Promise<Client> {
    const [{ connect }, { homeTransport }] = await Promise.all([
      import('../client/client.ts'),
      import('./homeTransport.ts'),
    ])
    return connect({ transport: homeTransport(terminal.note) })
  }
  return {
    args,
    rest,
    legacy,
    option(name) {
      const value = options.get(name)
      return value === true ? undefined : value
    },
    has: (name) => options.get(name) === true,
    terminal,
    client,
    async request(command, onFact = (fact) => showProgress(fact as ReceivedFact, terminal)) {
      const pending = (await client()).request(command, { signal: interrupts.signal })
      for await (const fact of pending) onFact(fact)
      return pending.answer
    },
    signal: interrupts.signal,
    ignoreInterrupts: interrupts.ignore,
  }
}

function showProgress(fact: ReceivedFact, terminal: Terminal): void {
  const { type, member, step, line } = fact
  if (!type.endsWith('.progress')) return
  const whose = member === undefined ? '' : `${member}: `
  // The lines of these steps name the step themselves; lines of an image build do not.
  const of = step === undefined || /^(create|start|ssh)$/.test(String(step)) ? '' : `${step}: `
  terminal.progress(fact, `${whose}${of}${line}`)
}

interface Interrupts {
  signal: AbortSignal
  ignore(): void
}

/**
 * The first SIGINT, SIGTERM or SIGHUP, which comes when the terminal is closed, aborts the command; a second one exits the
 * process.
 */
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
  process.on('SIGHUP', () => {
    closeStreamsAtExit()
    interrupt()
  })
  return {
    signal: abort.signal,
    ignore() {
      ignored = true
    },
  }
}
