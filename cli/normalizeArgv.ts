import { AppError } from '../protocol/errors.ts'
import { type FlagSpec, flagsBySpelling, isFlag, optionName, splitFlag } from './flags.ts'

/**
 * cac turns what looks like a number into one and takes a word with a dash for an option. Nothing that begins with this
 * sign looks like either, so that `01e5`, `007`, `-1` and an empty value reach a command as they were typed.
 */
const GUARD = '='

/** The text that was typed, of an argument or a value that cac returns. */
export function unguarded(word: string): string {
  return word.slice(GUARD.length)
}

/**
 * Rewrites the flags of Go's flag package for cac, word by word: one dash or two, letters that are never clustered
 * (`-us` is `--us`), P2PRC's other spellings, and switches as Go writes booleans (`-s=T`). Which word is the value of
 * which flag is for cac to say. A word that spells no flag is an argument or a value, even with a dash. What stands
 * behind `--` stays. Throws `bad_request` where a switch is given another value.
 */
export function normalizeArgv(argv: readonly string[]): string[] {
  const end = argv.indexOf('--')
  const words: string[] = []
  /** The repeatable flag that the words up to the next flag belong to: `--on A B` is `--on A --on B`. */
  let repeated: string | undefined
  for (const word of end < 0 ? argv : argv.slice(0, end)) {
    const [spelling, value] = splitFlag(word)
    const flag = isFlag(word) ? flagsBySpelling.get(spelling) : undefined
    if (flag) {
      const option = `--${optionName(flag)}`
      repeated = flag.repeatable && value === undefined ? option : undefined
      if (flag.value === undefined) words.push(`${option}=${isOn(flag, value)}`)
      else words.push(value === undefined ? option : `${option}=${GUARD}${value}`)
    } else if (repeated && words.at(-1) !== repeated && !isFlag(word)) words.push(`${repeated}=${GUARD}${word}`)
    else words.push(GUARD + word)
  }
  return end < 0 ? words : [...words, ...argv.slice(end)]
}

/** A boolean as Go's `strconv.ParseBool` reads it. Throws `bad_request`. */
export function isOn(flag: FlagSpec, value: string | undefined): boolean {
  if (value === undefined || /^(1|t|true)$/i.test(value)) return true
  if (/^(0|f|false)$/i.test(value)) return false
  throw new AppError('bad_request', { why: `--${flag.name} is on or off and takes no "${value}"` })
}
