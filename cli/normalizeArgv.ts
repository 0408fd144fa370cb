import { AppError } from '../protocol/errors.ts'
import { type FlagSpec, flagsBySpelling, isFlag, optionName, splitFlag } from './flags.ts'

/**
 * A prefix that protects arguments and values from cac, which converts words that look like numbers and treats words
 * that begin with a dash as options. With it, `01e5`, `007`, `-1` and empty values arrive as they were typed.
 */
const GUARD = '='

/** Removes the prefix from an argument or a value that cac returns. */
export function unguarded(word: string): string {
  return word.slice(GUARD.length)
}

/**
 * Rewrites a command line in the syntax of Go's flag package into cac's, word by word: flags with one dash or two,
 * whose letters are never clustered (`-us` is `--us`), P2PRC's other spellings, and booleans such as `-s=T`. cac
 * decides which word is the value of which flag. A word that is not the spelling of a flag is an argument or a value,
 * even if it begins with a dash. The words after `--` are kept. Throws `bad_request` if a switch has a value that is
 * not a boolean.
 */
export function normalizeArgv(argv: readonly string[]): string[] {
  const end = argv.indexOf('--')
  const words: string[] = []
  /** The repeatable flag that takes the words up to the next flag: `--on A B` becomes `--on A --on B`. */
  let repeated: string | undefined
  /** The first argument, which names the command. */
  let first: string | undefined
  for (const word of end < 0 ? argv : argv.slice(0, end)) {
    const [spelling, value] = splitFlag(word)
    const flag = isFlag(word) ? flagsBySpelling.get(spelling) : undefined
    if (flag) {
      const option = `--${optionName(flag)}`
      const takesMany = flag.repeatable && !flag.singleFor?.some((command) => command === first)
      repeated = takesMany && value === undefined ? option : undefined
      if (flag.value === undefined) words.push(`${option}=${isOn(flag, value)}`)
      else words.push(value === undefined ? option : `${option}=${GUARD}${value}`)
    } else if (repeated && words.at(-1) !== repeated && !isFlag(word)) words.push(`${repeated}=${GUARD}${word}`)
    else {
      first ??= word
      words.push(GUARD + word)
    }
  }
  return end < 0 ? words : [...words, ...argv.slice(end)]
}

/** Parses a boolean as Go's `strconv.ParseBool` does. Throws `bad_request`. */
export function isOn(flag: FlagSpec, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw new AppError('bad_request', { why: `--${flag.name} is on or off and takes no "${value}"` })
}
