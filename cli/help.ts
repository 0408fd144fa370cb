import { cac } from 'cac'
import { commandLines, usage } from './cliCommands.ts'
import type { CommandLine } from './commandLine.ts'
import { commonFlags, flags, notation, variableOf } from './flags.ts'

interface Section {
  title?: string
  body: string
}

/** What the words in a command's usage mean. */
const words: Readonly<Record<string, string>> = {
  where: 'a name, ip, ip:port, [v6]:port or a prefix of a node id',
  id: 'a container id or a prefix of one',
  ids: 'container ids or prefixes of them',
  group: "a group's name, its id or a prefix of it",
}

/** Prints the help of one command, of all commands that begin with `parentCommand`, or of all commands. */
export function showHelp({ command: asked, parentCommand }: Pick<CommandLine, 'command' | 'parentCommand'>): void {
  const cli = cac('p2prc')
  const common = asked ? commonFlags : [...commonFlags, 'version']
  for (const flag of flags) if (common.includes(flag.name) && flag.name !== 'help') cli.option(...notation(flag))
  cli.help((sections) => helpSections(sections, asked, parentCommand))
  for (const spec of commandLines) {
    if (parentCommand && !spec.name.startsWith(`${parentCommand} `)) continue
    const command = cli.command(usage(spec), spec.help)
    if (spec.name !== asked) continue
    const taken: readonly string[] = spec.flags
    for (const flag of flags) if (taken.includes(flag.name)) command.option(...notation(flag, spec.name))
    cli.matchedCommand = command
  }
  cli.outputHelp()
}

/** cac's sections, with the description of the command, P2PRC's flags and the environment variables added. */
function helpSections(sections: readonly Section[], command?: string, parentCommand?: string): Section[] {
  const [name, ...others] = sections
  const description: Section[] = command ? [{ body: meaningOf(command) }] : []
  return [...(name ? [name] : []), ...description, ...others, ...(command || parentCommand ? [] : flagSections())]
    .filter(isNews)
    .map(({ title, body }) => ({ ...(title && { title }), body: tidied(body) }))
}

function meaningOf(name: string): string {
  const spec = commandLines.find((candidate) => candidate.name === name)
  const named = [...(spec?.args ?? '').matchAll(/\w+/g)].flatMap(([word]) =>
    words[word] ? [`  ${word}: ${words[word]}`] : [],
  )
  return [`${spec?.help}.`, ...named].join('\n')
}

/** cac lists every command once more with `--help` appended, which adds nothing. */
function isNews({ title }: Section): boolean {
  return !title?.startsWith('For more info')
}

function tidied(body: string): string {
  return body.replace('Display this message', 'Show help').replace(/ +$/gm, '')
}

/** P2PRC's flags that are commands, and the environment variables of flags. */
function flagSections(): Section[] {
  const meant = flags.filter(({ aliasFor }) => aliasFor)
  const rows = meant.map(({ name, aliases, value, help }) => {
    const spellings = [name, ...aliases].map((alias) => `${alias.length === 1 ? '-' : '--'}${alias}`).join(', ')
    return [`${spellings}${value ? ` <${value}>` : ''}`, `the same as: ${help}`] as const
  })
  const longest = Math.max(...rows.map(([spelled]) => spelled.length))
  const variables = flags.filter(({ env }) => env).map(variableOf)
  return [
    { title: 'Flags of P2PRC', body: rows.map(([left, right]) => `  ${left.padEnd(longest)}  ${right}`).join('\n') },
    { title: 'Environment', body: `  P2PRC (the home folder), NO_COLOR, ${variables.join(', ')}` },
  ]
}
