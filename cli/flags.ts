import type { CommandName } from './cliCommands.ts'

/**
 * Every flag of the command line with all its spellings, as data: `normalizeArgv.ts` maps the spellings, cac parses the
 * flags, and `docs/cli.md` is generated from them.
 */
export interface FlagSpec {
  /** The spelling that help shows, written `--name`. */
  name: string
  /** Every other spelling, without dashes: P2PRC's, in its upper and lower case. */
  aliases: readonly string[]
  /** What its value is called in help; a switch has none. */
  value?: string
  help: string
  /** What it does for these commands instead. */
  helpFor?: Partial<Record<CommandName, string>>
  /** It may have several values: repeated, with commas, or as the words up to the next flag. They are joined by commas. */
  repeatable?: true
  /** P2PRC's flags that are commands: `--touch WHERE` is `touch WHERE`. */
  aliasFor?: CommandName
  /** What it means instead where another flag is given too; the first that fits. */
  aliasForWith?: readonly (readonly [flag: string, command: CommandName])[]
  /** The switch of that command that it stands for too. */
  implies?: string
  /** Whether `P2PRC_<NAME>` in the environment stands for it where it is not given, for these commands or for all. */
  env?: true | readonly CommandName[]
}

const takeCommands = ['touch', 'group create'] as const

export const flags: readonly FlagSpec[] = [
  { name: 'server', aliases: ['Server', 's'], help: 'start', aliasFor: 'start' },
  { name: 'touch', aliases: ['CreateVM'], value: 'where', help: 'touch WHERE', aliasFor: 'touch' },
  {
    name: 'rm',
    aliases: ['RemoveVM'],
    value: 'where',
    help: 'rm WHERE ID, with --id ID; asks nothing',
    aliasFor: 'rm',
  },
  { name: 'specs', aliases: ['Specification'], value: 'where', help: 'specs WHERE', aliasFor: 'specs' },
  { name: 'tc', aliases: ['TrackedContainers'], help: 'ps', aliasFor: 'ps' },
  { name: 'vc', aliases: ['ViewConfig'], help: 'config', aliasFor: 'config' },
  { name: 'dc', aliases: ['SetDefaultConfig'], help: 'init', aliasFor: 'init' },
  { name: 'cgroup', aliases: ['CreateGroup'], help: 'group create', aliasFor: 'group create' },
  {
    name: 'group',
    aliases: ['Group'],
    value: 'group',
    help: 'group show GROUP; group add GROUP ID with --id ID; group remove GROUP ID with --rmcgroup too',
    aliasFor: 'group show',
    aliasForWith: [
      ['rmcgroup', 'group remove'],
      ['id', 'group add'],
    ],
  },
  { name: 'groups', aliases: ['Groups'], help: 'group ls', aliasFor: 'group ls' },
  { name: 'rmgroup', aliases: ['RemoveGroup'], value: 'group', help: 'group rm GROUP', aliasFor: 'group rm' },
  { name: 'ls', aliases: ['ListServers'], help: 'ls', aliasFor: 'ls' },
  { name: 'us', aliases: ['UpdateServerList'], help: 'update', aliasFor: 'update' },
  { name: 'as', aliases: ['AddServer'], value: 'where', help: 'add WHERE, with --ports PORT', aliasFor: 'add' },
  {
    name: 'arn',
    aliases: ['AddRootNode'],
    help: 'add WHERE --replace, with --ip WHERE --ports PORT',
    aliasFor: 'add',
    implies: 'replace',
  },
  { name: 'amd', aliases: ['AddMetaData'], value: 'text', help: 'describe TEXT', aliasFor: 'describe' },
  { name: 'vp', aliases: ['ViewPlugins'], help: 'plugin ls', aliasFor: 'plugin ls' },
  {
    name: 'plugin',
    aliases: ['ExecutePlugin'],
    value: 'name',
    help: 'plugin run NAME, with --id ID',
    aliasFor: 'plugin run',
  },
  { name: 'pp', aliases: ['PullPlugin'], value: 'url', help: 'plugin pull URL', aliasFor: 'plugin pull' },
  { name: 'rp', aliases: ['RemovePlugin'], value: 'name', help: 'plugin rm NAME; asks nothing', aliasFor: 'plugin rm' },

  {
    name: 'host',
    aliases: [],
    value: 'address',
    help: 'Listen on this address only',
    helpFor: { inventory: 'The one host that Ansible asks for' },
    env: ['start'],
  },
  { name: 'port', aliases: [], value: 'number', help: 'Listen on this port; default: as configured, 8088', env: true },
  { name: 'open', aliases: [], help: 'Lend to anyone who can reach this machine', env: true },
  {
    name: 'ip-service',
    aliases: [],
    value: 'url',
    help: 'Ask this service for the public address, in ip-api.com’s JSON form; default: nobody, peers tell it',
    env: true,
  },
  { name: 'quiet', aliases: ['q'], help: 'Print errors only', env: true },
  { name: 'id', aliases: ['ID'], value: 'id', help: 'The container or the group that is meant' },
  {
    name: 'ports',
    aliases: ['Ports', 'p'],
    value: 'count',
    help: 'Extra tcp ports for the container',
    helpFor: { add: 'The port of the machine; default: 8088' },
    env: takeCommands,
  },
  {
    name: 'udp-ports',
    aliases: ['UDPPorts'],
    value: 'count',
    help: 'Extra udp ports for the container',
    env: takeCommands,
  },
  {
    name: 'gpu',
    aliases: ['GPU'],
    help: 'With the NVIDIA cards of the machine',
    helpFor: { ls: 'Machines with NVIDIA cards' },
    env: takeCommands,
  },
  {
    name: 'image',
    aliases: ['ContainerName', 'cn'],
    value: 'name',
    help: 'An image that the machine lends; default: its usual one',
    env: true,
  },
  {
    name: 'key',
    aliases: [],
    value: 'file',
    help: 'Public key to let in; default: the key of this node',
    env: true,
  },
  { name: 'password', aliases: [], help: 'Send no key; the machine makes a password, which is shown once' },
  {
    name: 'name',
    aliases: [],
    value: 'name',
    help: 'What to call it',
    helpFor: { 'trust add': 'What to call the friend; default: the comment of the key' },
  },
  { name: 'follow', aliases: ['f'], help: 'Go on with what it prints from now on' },
  { name: 'tail', aliases: ['n'], value: 'count', help: 'Begin with the last COUNT lines; default: 200' },
  {
    name: 'on',
    aliases: [],
    value: 'where',
    repeatable: true,
    help: 'Take containers on these machines, in turn: --on A B, --on A,B or --on A --on B',
  },
  { name: 'count', aliases: [], value: 'count', help: 'How many containers to take; default: one on each machine' },
  { name: 'nearest', aliases: [], value: 'count', help: 'Take containers on the COUNT nearest machines that answer' },
  { name: 'containers', aliases: [], help: 'Give its containers back first; their /data goes with them' },
  { name: 'rmcgroup', aliases: ['RemoveContainerGroup'], help: 'P2PRC’s word for it, with --group GROUP --id ID' },
  { name: 'forget', aliases: [], help: 'Even where its machine cannot be asked, because it is gone for good' },
  {
    name: 'retry-failed',
    aliases: [],
    help: 'Only where the last command failed; without COMMAND, that command again',
  },
  { name: 'sort', aliases: [], value: 'order', help: 'near, name, down, up, cpu, memory, gpu, load or seen' },
  { name: 'min-ram', aliases: [], value: 'size', help: 'Machines with at least so much memory, such as 8G' },
  { name: 'min-cores', aliases: [], value: 'count', help: 'Machines with at least so many cores' },
  { name: 'min-down', aliases: [], value: 'rate', help: 'Machines that send at least so many Mbit/s' },
  { name: 'min-up', aliases: [], value: 'rate', help: 'Machines that take at least so many Mbit/s' },
  { name: 'max-latency', aliases: [], value: 'ms', help: 'Machines that answer within so many milliseconds' },
  { name: 'watch', aliases: ['w'], help: 'Go on showing how it changes, until Ctrl-C' },
  { name: 'hops', aliases: [], value: 'count', help: 'How often to ask those who were named; default: 3', env: true },
  { name: 'direction', aliases: [], value: 'which', help: 'download, upload or both; default: both' },
  { name: 'ip', aliases: ['IPAddress'], value: 'where', help: 'P2PRC’s word for WHERE, with --arn' },
  { name: 'replace', aliases: [], help: 'Forget every other machine' },
  { name: 'timeout', aliases: [], value: 'seconds', help: 'Stop it after so long; default: an hour' },
  { name: 'output', aliases: [], value: 'folder', help: 'Where files go that the plugin brings home' },
  { name: 'stock', aliases: [], help: 'Without Mitogen, for a playbook that does not get along with it' },
  { name: 'commit', aliases: [], value: 'hash', help: 'This commit and no other; default: the newest' },
  { name: 'ssh', aliases: [], help: 'Allow ssh:// beside https://' },
  { name: 'list', aliases: [], help: 'Everything, as Ansible asks for it; the default' },
  { name: 'yes', aliases: ['y'], help: 'Do not ask' },
  { name: 'json', aliases: [], help: 'Print JSON; of a stream, one object a line', env: true },
  { name: 'help', aliases: ['h'], help: 'Show help' },
  { name: 'version', aliases: ['v'], help: 'Show the version' },
]

/** Flags that every command takes. */
export const commonFlags: readonly string[] = ['json', 'help']

/** Each flag by every one of its spellings, without dashes. */
export const flagsBySpelling: ReadonlyMap<string, FlagSpec> = new Map(
  flags.flatMap((flag) => [flag.name, ...flag.aliases].map((name) => [name, flag] as const)),
)

/** The name by which cac knows a flag: `udpPorts` for `--udp-ports`. */
export function optionName({ name }: FlagSpec): string {
  return name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** Whether a word is written as a flag is. A single dash is an argument, as everywhere. */
export function isFlag(word: string): boolean {
  return word.length > 1 && word.startsWith('-')
}

/** The spelling of a flag without its dashes, and the value that is attached to it with `=`. */
export function splitFlag(word: string): [spelling: string, value: string | undefined] {
  const body = word.replace(/^--?/, '')
  const equals = body.indexOf('=')
  return equals < 0 ? [body, undefined] : [body.slice(0, equals), body.slice(equals + 1)]
}

/** The variable that stands for a flag, `P2PRC_UDP_PORTS` for `--udp-ports`. */
export function variableOf(flag: FlagSpec): string {
  return `P2PRC_${flag.name.toUpperCase().replaceAll('-', '_')}`
}

/** A flag as cac declares it, its short spellings first. */
export function notation(flag: FlagSpec, command?: string): [string, string] {
  const { name, aliases, value } = flag
  const short = aliases.filter((alias) => alias.length === 1).map((alias) => `-${alias}`)
  return [`${[...short, `--${name}`].join(', ')}${value ? ` <${value}>` : ''}`, helpOf(flag, command)]
}

/** What a flag does, for one command where that makes a difference. */
export function helpOf({ help, helpFor }: FlagSpec, command = ''): string {
  return helpFor && Object.hasOwn(helpFor, command) ? String(helpFor[command as keyof typeof helpFor]) : help
}
