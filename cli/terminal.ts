import { styleText } from 'node:util'
import { AppError } from '../protocol/errors.ts'
import { createLiveLines } from './liveLines.ts'

/** The streams that the command line reads and writes; tests pass their own. */
export interface Streams {
  in: NodeJS.ReadStream
  out: NodeJS.WriteStream
  err: NodeJS.WriteStream
}

/** Opening a standard stream takes time, so each is opened when it is first used. */
const standard: Streams = {
  get in() {
    return process.stdin
  },
  get out() {
    return process.stdout
  },
  get err() {
    return process.stderr
  },
}

export interface OutputOptions {
  /** NDJSON: one object a line, on a terminal too. */
  json: boolean
  quiet: boolean
  /** `NO_COLOR` is set. */
  plain: boolean
}

type Style = 'bold' | 'dim' | 'green' | 'red' | 'yellow'

/**
 * The output of the command line. Values are text on a terminal and JSON with tabs otherwise; streams are lines; progress
 * and errors go to stderr, so that stdout contains only the result. With `--json` everything but errors is NDJSON on
 * stdout, and the result is its last line.
 */
export function createTerminal(options: OutputOptions, streams: Streams = standard) {
  const { out, err } = streams
  const onScreen = out.isTTY === true && !options.json
  const live = err.isTTY === true
  let progressShown = false
  let liveLines: ReturnType<typeof createLiveLines> | undefined

  const style = (kind: Style, text: string) =>
    onScreen && !options.plain ? styleText(kind, text, { validateStream: false }) : text
  const write = (stream: NodeJS.WriteStream, text: string) => {
    if (progressShown) err.write('\r\u001b[2K')
    progressShown = false
    stream.write(text)
  }

  return {
    json: options.json,
    /** Whether stdout is a terminal and `--json` is not given. */
    onScreen,
    style,
    /** The width of the screen. */
    get columns(): number {
      return out.columns || 80
    },
    /** Prints one result: `text` on a terminal, `document` as JSON otherwise. */
    value(document: unknown, text: () => string): void {
      if (onScreen) write(out, `${text()}\n`)
      else this.document(document)
    },
    /** Prints one result as JSON, also on a terminal. */
    document(document: unknown): void {
      write(out, `${JSON.stringify(document, null, options.json ? undefined : '\t')}\n`)
    },
    /** Reports success of a command without a result. Scripts written for Go P2PRC read `Success`. */
    done(document: unknown, text: string, legacy: boolean): void {
      if (legacy && !onScreen && !options.json) write(out, 'Success\n')
      else this.value(document, () => `${style('green', '✓')} ${text}`)
    },
    /** Prints one line of a stream. */
    line(fact: unknown, text: string, stream: 'stdout' | 'stderr' = 'stdout'): void {
      if (options.quiet) return
      if (options.json) write(out, `${JSON.stringify(fact)}\n`)
      else write(stream === 'stdout' ? out : err, `${text}\n`)
    },
    /** Shows progress: one line that is overwritten on a terminal, plain lines otherwise, the fact itself with `--json`. */
    progress(fact: unknown, text: string): void {
      if (options.quiet) return
      if (options.json) {
        this.line(fact, text)
        return
      }
      write(err, live ? singleLine(text).slice(0, Math.max(10, (err.columns || 80) - 1)) : `${text}\n`)
      progressShown = live
    },
    /** Redraws lines in place, the first of them a heading; only for a terminal. */
    draw(lines: readonly string[]): void {
      liveLines ??= createLiveLines(out)
      liveLines.draw(lines, (line, index) => (index === 0 && lines.length > 1 ? style('bold', line) : line))
    },
    /** Clears the `^C` that the terminal has echoed. */
    clearLine(): void {
      if (live) err.write('\r\u001b[2K')
      progressShown = false
    },
    note(text: string): void {
      write(err, `p2prc: ${text}\n`)
    },
    /** Whether stdin and stderr are terminals, so that a question can be asked. */
    get interactive(): boolean {
      return streams.in.isTTY === true && live
    },
    async confirm(question: string, signal: AbortSignal): Promise<boolean> {
      const { createInterface } = await import('node:readline/promises')
      write(err, '')
      const asked = createInterface({ input: streams.in, output: err })
      try {
        return /^y(es)?$/i.test((await asked.question(`${question} [y/N] `, { signal })).trim())
      } catch (error) {
        // The prompt reads the keys itself while it waits, so Ctrl-C does not raise SIGINT.
        err.write('\n')
        throw (error as Error).name === 'AbortError' ? new AppError('interrupted') : error
      } finally {
        asked.close()
      }
    },
  }
}

export type Terminal = ReturnType<typeof createTerminal>

/** Formats rows under a heading, with aligned columns and without trailing blanks. */
export function table(heading: string[], rows: string[][], style: Terminal['style']): string {
  const all = [heading, ...rows].map((row) => row.map(singleLine))
  const widths = heading.map((_, column) => Math.max(...all.map((row) => width(row[column] ?? ''))))
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] as number) - width(cell)))
      .join('  ')
      .trimEnd(),
  )
  return [style('bold', lines[0] as string), ...lines.slice(1)].join('\n')
}

/** Formats names and values, one pair per line. */
export function list(pairs: [name: string, value: string][], style: Terminal['style']): string {
  const longest = Math.max(...pairs.map(([name]) => width(name)))
  return pairs
    .map(([name, value]) => `${style('dim', name + ' '.repeat(longest - width(name)))}  ${singleLine(value)}`)
    .join('\n')
}

function width(text: string): number {
  return [...text].length
}

function singleLine(text: string): string {
  return text.replace(/\s+/g, ' ')
}
