import { StringDecoder } from 'node:string_decoder'

/** Maximum length of a line. A longer one is split, so that nobody can fill the memory with a single line. */
const LINE_MAX_CHARACTERS = 16_384

/** Splits a stream of bytes into lines. A line ends with `\n`, `\r\n`, or a single `\r`, which progress bars write. */
export function lineSplitter(onLine: (line: string) => void, maxCharacters = LINE_MAX_CHARACTERS) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return {
    write(chunk: Buffer): void {
      const lines = (rest + decoder.write(chunk)).split(/\r\n|\n|\r(?!$)/)
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
      for (; rest.length > maxCharacters; rest = rest.slice(maxCharacters)) onLine(rest.slice(0, maxCharacters))
    },
    /** Reports the rest after the last end of a line. */
    end(): void {
      rest = (rest + decoder.end()).replace(/\r$/, '')
      if (rest) onLine(rest)
      rest = ''
    },
  }
}
