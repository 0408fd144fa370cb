import { StringDecoder } from 'node:string_decoder'

/** Longest line that is passed on whole; a longer one comes in pieces, so that nobody can fill the memory with one. */
const LINE_MAX_CHARACTERS = 16_384

/** Cuts a stream of bytes into lines. Lines end with `\n`, `\r\n` or `\r` alone, as progress bars write it. */
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
    /** Passes on what came after the last line's end. */
    end(): void {
      rest = (rest + decoder.end()).replace(/\r$/, '')
      if (rest) onLine(rest)
      rest = ''
    },
  }
}
