import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { commandLines } from '../cli/cliCommands.ts'
import { commonFlags, type FlagSpec, flags, helpOf, variableOf } from '../cli/flags.ts'
import { exitCodes } from '../protocol/errors.ts'

/** `docs/cli.md`, made from the table that the program itself reads; a test compares the two. */
export function cliReference(): string {
  return [
    '# The command line',
    '<!-- Made by `node --import tsx scripts/cliReference.ts` from protocol/cliCommands.ts, protocol/flags.ts and protocol/errors.ts. -->',
    'Each command does one thing and ends; `start` runs until Ctrl-C. A command works whether a node runs on this home or',
    'not. `WHERE` is a name, `ip`, `ip:port`, `[v6]:port` or the beginning of a node id; `ID` is a container id or its',
    'beginning. Numbers and ids are taken as they are typed: `01e5` and `007` are ids. `p2prc help COMMAND` says what is here.',
    '',
    '## Commands',
    ...commandLines.flatMap(({ name, args, help, flags: taken, prints }) => [
      '',
      `### \`${`p2prc ${name} ${args}`.trim()}\``,
      `${help}. Prints ${prints === 'value' ? 'a value' : 'a stream'}.`,
      ...(taken.length === 0 ? [] : ['', ...taken.map((flag) => flagLine(named(flag), name))]),
    ]),
    '',
    '## Flags of every command',
    ...[...commonFlags, 'version'].map((flag) => flagLine(named(flag))),
    '',
    '## Flags of P2PRC',
    'Go P2PRC has flags instead of commands. They mean the same here, with one dash or two, as `--flag value` or',
    '`--flag=value`. Letters are never clustered: `-us` is `--us`.',
    '',
    '| flag | the same as |',
    '| --- | --- |',
    ...flags.filter(({ aliasFor }) => aliasFor).map((flag) => `| ${spellings(flag)} | \`p2prc ${flag.help}\` |`),
    '',
    '## What is printed',
    'On a terminal a value is a table; piped, or with `--json`, it is JSON in P2PRC’s shapes. A stream is plain lines, and',
    'with `--json` one object a line. Progress and errors go to stderr, an error as `p2prc: what happened. What to do.`',
    'Colour is used on a terminal only, and not where `NO_COLOR` is set. P2PRC’s flags that have no value to print print',
    '`Success` when piped.',
    '',
    '## Exit codes',
    '| code | meaning |',
    '| --- | --- |',
    ...Object.entries(exitCodes).map(([code, meaning]) => `| ${code} | ${meaning} |`),
    '',
    '`p2prc ssh` ends with the exit code of `ssh`, `group exec` with the worst of its members. `group create` makes the group of',
    'the containers that could be taken, and ends with the worst code of those that could not.',
    '',
    '## Environment',
    '| variable | meaning |',
    '| --- | --- |',
    '| `P2PRC` | the home folder, in P2PRC’s layout; without it the XDG folders are used |',
    ...flags.filter(({ env }) => env).map((flag) => `| \`${variableOf(flag)}\` | stands for \`--${flag.name}\` |`),
    '| `NO_COLOR` | no colour |',
    '| `DOCKER_HOST` and other `DOCKER_*` | where the container engine is |',
    '| `XDG_CONFIG_HOME`, `XDG_STATE_HOME`, `XDG_RUNTIME_DIR` | where the home is without `P2PRC` |',
    '',
  ].join('\n')
}

function named(name: string): FlagSpec {
  const flag = flags.find((candidate) => candidate.name === name)
  if (!flag) throw new Error(`protocol/flags.ts has no flag ${name}`)
  return flag
}

function flagLine(flag: FlagSpec, command?: string): string {
  return `- ${spellings(flag)}: ${helpOf(flag, command)}`
}

function spellings({ name, aliases, value }: FlagSpec): string {
  const dashed = [name, ...aliases].map((spelling) => `\`${spelling.length === 1 ? '-' : '--'}${spelling}\``)
  return `${dashed.join(', ')}${value ? ` ${value.toUpperCase()}` : ''}`
}

if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename) {
  const path = join(import.meta.dirname, '../docs/cli.md')
  if (!process.argv.includes('--check')) writeFileSync(path, cliReference())
  else if (readFileSync(path, 'utf8') !== cliReference()) {
    console.error('docs/cli.md is out of date: run `node --import tsx scripts/cliReference.ts`')
    process.exitCode = 1
  }
}
