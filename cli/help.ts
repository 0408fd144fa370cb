import { cac } from 'cac'
import { commandLines, usage } from './cliCommands.ts'
import type { CommandLine } from './commandLine.ts'
import { commonFlags, flags, notation, variableOf } from './flags.ts'

interface Section {
  title?: string
  body: string
}

/** What a word in a command's usage stands for. */
const words: Readonly<Record<string, string>> = {
  where: 'a name, ip, ip:port, [v6]:port or the beginning of a node id',
  id: 'a container id or the beginning of one',
  ids: 'container ids or the beginnings of them',
  group: "a group's name, its id or the beginning of it",
}

/** Prints the help of one command, of those that begin with one word, or of all. */
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

/** cac's sections with what it does not know: what a command does, P2PRC's flags, and the variables. */
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

/** cac's list of every command with `--help` behind it says nothing new. */
function isNews({ title }: Section): boolean {
  return !title?.startsWith('For more info')
}

function tidied(body: string): string {
  return body.replace('Display this message', 'Show help').replace(/ +$/gm, '')
}

/** P2PRC's flags that are commands, and the variables that stand for flags. */
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
