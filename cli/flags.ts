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
  /** The name of its value in help; a switch has none. */
  value?: string
  help: string
  /** The help text for commands in which the flag means something else. */
  helpFor?: Partial<Record<CommandName, string>>
  /** It takes several values: repeated, separated by commas, or as the words up to the next flag. They are joined by commas. */
  repeatable?: true
  /** The commands for which it takes one value after all, so that the words behind it are arguments. */
  singleFor?: readonly CommandName[]
  /** P2PRC's flags that are commands: `--touch WHERE` is `touch WHERE`. */
  aliasFor?: CommandName
  /** The command that it means instead if another flag is given too; the first match counts. */
  aliasForWith?: readonly (readonly [flag: string, command: CommandName])[]
  /** The flag of that command that takes its value; without this, the value is an argument. */
  valueFor?: string
  /** The switch of that command that it also sets. */
  implies?: string
  /** Whether `P2PRC_<NAME>` in the environment sets its default: for these commands, or `true` for all. */
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
    help: 'rm ID --on WHERE, with --id ID; asks nothing',
    aliasFor: 'rm',
    valueFor: 'on',
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
  {
    name: 'mp',
    aliases: ['MAPPort'],
    value: 'port',
    help: 'map PORT, with --udp, --dn NAME and --ra WHERE',
    aliasFor: 'map',
  },
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
    name: 'relay',
    aliases: [],
    value: 'who',
    help: 'Lend ports to nodes behind routers: off, trusted, peers (every node that proves its key) or all; default: peers. Stock frpc logs in with the token in P2PRC_RELAY_TOKEN',
    env: ['start'],
  },
  {
    name: 'relay-ports',
    aliases: [],
    value: 'range',
    help: 'The ports to lend, from 10000 to 65535; default: 10000-65535',
    env: ['start'],
  },
  {
    name: 'relay-rate',
    aliases: [],
    value: 'rate',
    help: 'What the users of one client may transfer, in Mbit/s; default: 100',
    env: ['start'],
  },
  {
    name: 'ip-service',
    aliases: [],
    value: 'url',
    help: 'Ask this service for the public address, in ip-api.com’s JSON form; default: none, peers report it',
    env: true,
  },
  { name: 'quiet', aliases: ['q'], help: 'Print errors only', env: true },
  { name: 'id', aliases: ['ID'], value: 'id', help: 'The container or the group to act on' },
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
    help: 'Attach the NVIDIA GPUs of the machine',
    helpFor: { ls: 'Only machines with an NVIDIA GPU' },
    env: takeCommands,
  },
  {
    name: 'image',
    aliases: ['ContainerName', 'cn'],
    value: 'name',
    help: 'An image that the machine offers; default: its default image',
    env: true,
  },
  {
    name: 'key',
    aliases: [],
    value: 'file',
    help: 'Public key to authorize; default: the key of this node',
    env: true,
  },
  { name: 'password', aliases: [], help: 'Send no key; the machine generates a password, which is shown once' },
  {
    name: 'name',
    aliases: [],
    value: 'name',
    help: 'The name of the group',
    helpFor: { 'trust add': 'The name of the peer; default: the comment of the key' },
  },
  { name: 'follow', aliases: ['f'], help: 'Follow the log output' },
  { name: 'tail', aliases: ['n'], value: 'count', help: 'Start with the last COUNT lines; default: 200' },
  {
    name: 'on',
    aliases: ['RemoteAddress', 'ra'],
    value: 'where',
    repeatable: true,
    singleFor: ['rm', 'ps', 'map', 'map ls', 'map rm'],
    helpFor: {
      map: 'Map a port of your container on this machine instead',
      'map ls': 'List what this machine maps for you',
      'map rm': 'End what this machine maps for you',
      rm: 'The machine that lends them, tracked here or not',
      ps: 'Ask this machine for all containers that it lends to you, tracked here or not',
    },
    help: 'Take containers on these machines, round-robin: --on A B, --on A,B or --on A --on B',
  },
  { name: 'udp', aliases: ['UDP'], help: 'Map a UDP port', env: ['map'] },
  {
    name: 'domain',
    aliases: ['DomainName', 'dn'],
    value: 'name',
    help: 'Show it as https://NAME at a relay that shows domains; DNS must say that NAME is there',
  },
  {
    name: 'via',
    aliases: [],
    value: 'relay',
    help: 'The machine that lends the port outside: a node, or HOST:PORT of Go P2PRC or stock frps, whose token `p2prc start` reads from P2PRC_VIA_TOKEN; default: the nearest node that is willing',
  },
  { name: 'count', aliases: [], value: 'count', help: 'How many containers to take; default: one on each machine' },
  { name: 'nearest', aliases: [], value: 'count', help: 'Take containers on the COUNT nearest machines that respond' },
  { name: 'containers', aliases: [], help: 'Return its containers to their lenders first and delete their /data' },
  {
    name: 'rmcgroup',
    aliases: ['RemoveContainerGroup'],
    help: 'P2PRC’s spelling of group remove, with --group GROUP --id ID',
  },
  { name: 'forget', aliases: [], help: 'Remove the record even if the lender cannot be reached any more' },
  {
    name: 'retry-failed',
    aliases: [],
    help: 'Only the containers in which the last command failed; without COMMAND, repeat that command',
  },
  { name: 'sort', aliases: [], value: 'order', help: 'Sort by near, name, down, up, cpu, memory, gpu, load or seen' },
  { name: 'min-ram', aliases: [], value: 'size', help: 'Only machines with at least this much memory, such as 8G' },
  { name: 'min-cores', aliases: [], value: 'count', help: 'Only machines with at least this many cores' },
  { name: 'min-down', aliases: [], value: 'rate', help: 'Only machines with at least this download rate in Mbit/s' },
  { name: 'min-up', aliases: [], value: 'rate', help: 'Only machines with at least this upload rate in Mbit/s' },
  { name: 'max-latency', aliases: [], value: 'ms', help: 'Only machines with at most this latency in milliseconds' },
  { name: 'watch', aliases: ['w'], help: 'Refresh the list until Ctrl-C' },
  { name: 'hops', aliases: [], value: 'count', help: 'How many hops to crawl; default: 3', env: true },
  { name: 'direction', aliases: [], value: 'which', help: 'download, upload or both; default: both' },
  { name: 'ip', aliases: ['IPAddress'], value: 'where', help: 'P2PRC’s spelling of WHERE, with --arn' },
  { name: 'replace', aliases: [], help: 'Remove every other machine from the table' },
  { name: 'timeout', aliases: [], value: 'seconds', help: 'Stop the run after this many seconds; default: 3600' },
  { name: 'output', aliases: [], value: 'folder', help: 'The folder for the files that the plugin fetches' },
  { name: 'stock', aliases: [], help: 'Run without Mitogen, for a playbook that is incompatible with it' },
  { name: 'commit', aliases: [], value: 'hash', help: 'Check out this commit; default: the newest' },
  { name: 'ssh', aliases: [], help: 'Allow ssh:// besides https://' },
  { name: 'list', aliases: [], help: 'Print the whole inventory, as Ansible requests it; this is the default' },
  { name: 'yes', aliases: ['y'], help: 'Do not ask for confirmation' },
  {
    name: 'json',
    aliases: [],
    help: 'Print one JSON object per line: progress as it comes, the result last',
    env: true,
  },
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

/** Whether a word is written like a flag. A single dash is an argument, as in other programs. */
export function isFlag(word: string): boolean {
  return word.length > 1 && word.startsWith('-')
}

/** Splits a flag into its spelling without dashes and the value that is attached with `=`. */
export function splitFlag(word: string): [spelling: string, value: string | undefined] {
  const body = word.replace(/^--?/, '')
  const equals = body.indexOf('=')
  return equals < 0 ? [body, undefined] : [body.slice(0, equals), body.slice(equals + 1)]
}

/** The environment variable of a flag, such as `P2PRC_UDP_PORTS` for `--udp-ports`. */
export function variableOf(flag: FlagSpec): string {
  return `P2PRC_${flag.name.toUpperCase().replaceAll('-', '_')}`
}

/** A flag in cac's notation, its short spellings first, and its help text. */
export function notation(flag: FlagSpec, command?: string): [string, string] {
  const { name, aliases, value } = flag
  const short = aliases.filter((alias) => alias.length === 1).map((alias) => `-${alias}`)
  return [`${[...short, `--${name}`].join(', ')}${value ? ` <${value}>` : ''}`, helpOf(flag, command)]
}

/** The help text of a flag, specific to `command` if the flag means something else there. */
export function helpOf({ help, helpFor }: FlagSpec, command = ''): string {
  return helpFor && Object.hasOwn(helpFor, command) ? String(helpFor[command as keyof typeof helpFor]) : help
}
