/** One command of the command line, as data. A new command is one row here and one handler in `cli.ts`. */
export interface CommandLineSpec {
  /** One or two words. */
  name: string
  /** cac's notation: `<needed>`, `[optional]`, `[...many]`. */
  args: string
  help: string
  flags: readonly string[]
  /** Whether it prints one value (a table, or JSON when piped or with `--json`) or a stream of lines. */
  prints: 'value' | 'stream'
}

export const commandLines = [
  {
    name: 'start',
    args: '[...where]',
    help: 'Lend this machine: run a node until Ctrl-C. WHERE are the addresses of nodes to bootstrap from',
    flags: ['host', 'port', 'open', 'relay', 'relay-ports', 'relay-rate', 'ip-service', 'quiet'],
    prints: 'stream',
  },
  { name: 'stop', args: '', help: 'Stop the node that runs on this home', flags: [], prints: 'value' },
  {
    name: 'touch',
    args: '<where>',
    help: 'Take a container on another machine',
    flags: ['ports', 'udp-ports', 'gpu', 'image', 'key', 'password'],
    prints: 'value',
  },
  {
    name: 'rm',
    args: '<...id>',
    help: 'Return containers to their lenders and delete their /data. All are looked up before anything is deleted',
    flags: ['yes', 'id', 'forget', 'on'],
    prints: 'value',
  },
  {
    name: 'ps',
    args: '',
    help: 'List the borrowed containers with their current state; with --on, all that one machine lends to you',
    flags: ['on'],
    prints: 'value',
  },
  {
    name: 'ssh',
    args: '<id> [...command]',
    help: 'Open a shell in a container, or run a command there: ssh ID -- COMMAND',
    flags: [],
    prints: 'stream',
  },
  {
    name: 'logs',
    args: '<id>',
    help: 'Print the logs of a container',
    flags: ['follow', 'tail'],
    prints: 'stream',
  },
  {
    name: 'specs',
    args: '[where]',
    help: 'Show processor, memory, disk, GPUs and load of a machine; without WHERE, of this one',
    flags: [],
    prints: 'value',
  },
  { name: 'id', args: '', help: 'Show the node id and the public key of this node', flags: [], prints: 'value' },
  {
    name: 'trust add',
    args: '<...key>',
    help: 'Let the owner of a public key borrow here. KEY is the public key itself or a file that contains it',
    flags: ['name'],
    prints: 'value',
  },
  {
    name: 'trust rm',
    args: '<who>',
    help: 'Stop trusting a peer: they may no longer borrow here',
    flags: [],
    prints: 'value',
  },
  { name: 'trust ls', args: '', help: 'List the peers that may borrow here', flags: [], prints: 'value' },
  {
    name: 'lent',
    args: '',
    help: 'List the containers that this node lends, with their borrowers',
    flags: [],
    prints: 'value',
  },
  {
    name: 'evict',
    args: '<id>',
    help: 'Remove a container that this node lends, with its /data',
    flags: ['yes'],
    prints: 'value',
  },
  {
    name: 'image build',
    args: '',
    help: 'Build the image for lent containers now, with its full output',
    flags: [],
    prints: 'stream',
  },
  { name: 'events', args: '', help: 'Follow all events of the running node', flags: [], prints: 'stream' },
  {
    name: 'actors',
    args: '[filter]',
    help: 'List the actors of the running node with their states. FILTER is a part of a path, a machine or a state; the path of one actor shows its context and last transitions too',
    flags: ['watch'],
    prints: 'value',
  },
  { name: 'config', args: '', help: 'Show the configuration of this home', flags: [], prints: 'value' },
  { name: 'init', args: '', help: 'Create the home folder if it does not exist', flags: [], prints: 'value' },
  {
    name: 'group create',
    args: '[...ids]',
    help: 'Create a group of borrowed containers, of new containers on other machines, or of both',
    flags: ['name', 'on', 'count', 'nearest', 'ports', 'udp-ports', 'gpu', 'image', 'key'],
    prints: 'value',
  },
  {
    name: 'group ls',
    args: '',
    help: 'List the groups with the number of containers in each',
    flags: [],
    prints: 'value',
  },
  {
    name: 'group show',
    args: '<group>',
    help: 'Show a group with the current state of its containers',
    flags: [],
    prints: 'value',
  },
  { name: 'group add', args: '<group> <...id>', help: 'Add containers to a group', flags: ['id'], prints: 'value' },
  {
    name: 'group remove',
    args: '<group> <...id>',
    help: 'Remove containers from a group; the containers keep running',
    flags: ['id', 'rmcgroup'],
    prints: 'value',
  },
  {
    name: 'group rm',
    args: '<group>',
    help: 'Delete a group; its containers keep running, unless --containers is given',
    flags: ['containers', 'yes'],
    prints: 'value',
  },
  {
    name: 'group exec',
    args: '<group> [...command]',
    help: 'Run a command in every container of a group: group exec GROUP -- COMMAND. Exits with the highest exit code',
    flags: ['retry-failed'],
    prints: 'stream',
  },
  {
    name: 'group ssh-config',
    args: '<group>',
    help: 'Print Host entries for the containers of a group, for ssh -F',
    flags: [],
    prints: 'stream',
  },
  {
    name: 'ls',
    args: '',
    help: 'List the known machines, the nearest first',
    flags: ['sort', 'gpu', 'min-ram', 'min-cores', 'min-down', 'min-up', 'max-latency', 'watch'],
    prints: 'value',
  },
  {
    name: 'update',
    args: '',
    help: 'Crawl the network: measure the known machines and ask them for the machines that they know',
    flags: ['hops'],
    prints: 'value',
  },
  {
    name: 'add',
    args: '<where>',
    help: 'Add a machine by its address, with --ports PORT for another port than 8088',
    flags: ['ports', 'replace', 'ip'],
    prints: 'value',
  },
  {
    name: 'describe',
    args: '[...text]',
    help: 'Set the description of this machine that all others see in ls; without TEXT, clear it',
    flags: [],
    prints: 'value',
  },
  {
    name: 'path',
    args: '<where>',
    help: 'Show how this machine reaches another one, since when, and why not in a better way',
    flags: [],
    prints: 'value',
  },
  {
    name: 'doctor',
    args: '[where]',
    help: 'Check what it takes to lend and to be reached, and name the first thing that does not work; with WHERE, also each way to that machine and back. Exits with 1 if something does not work',
    flags: [],
    prints: 'value',
  },
  {
    name: 'speed',
    args: '<where>',
    help: 'Measure latency and bandwidth to a machine; the machine must allow it',
    flags: ['direction'],
    prints: 'value',
  },
  {
    name: 'map',
    args: '<port>',
    help: 'Show a port of this machine to the outside through a relay, now and after each restart, and print its address there',
    flags: ['udp', 'domain', 'via', 'on'],
    prints: 'value',
  },
  { name: 'map ls', args: '', help: 'List the ports that are shown to the outside', flags: ['on'], prints: 'value' },
  {
    name: 'map rm',
    args: '<which>',
    help: 'Stop showing a port. WHICH is the port, with /udp for UDP, or its address or domain outside',
    flags: ['on'],
    prints: 'value',
  },
  {
    name: 'relay ls',
    args: '',
    help: 'List the ports that this node lends to others, who has them and what they carry',
    flags: [],
    prints: 'value',
  },
  {
    name: 'relay close',
    args: '<which>',
    help: 'Close a lent port, or all ports of a peer, who gets none for ten minutes. WHICH is a port, a name or a node id',
    flags: [],
    prints: 'value',
  },
  {
    name: 'plugin ls',
    args: '',
    help: 'List the plugins, and what is wrong with each invalid one',
    flags: [],
    prints: 'value',
  },
  { name: 'plugin show', args: '<name>', help: 'Show one plugin and its files', flags: [], prints: 'value' },
  {
    name: 'plugin run',
    args: '<name> [...values]',
    help: 'Run a plugin on the container or the group given by --id; VALUES set its variables, as name=value',
    flags: ['id', 'timeout', 'output', 'stock'],
    prints: 'stream',
  },
  {
    name: 'plugin pull',
    args: '<url>',
    help: 'Clone a plugin with git, or update it',
    flags: ['commit', 'ssh'],
    prints: 'value',
  },
  { name: 'plugin rm', args: '<name>', help: 'Delete a plugin', flags: ['yes'], prints: 'value' },
  {
    name: 'ssh-config',
    args: '',
    help: 'Write Host entries for all borrowed containers, and print how to include them',
    flags: [],
    prints: 'value',
  },
  {
    name: 'inventory',
    args: '',
    help: 'Print Ansible’s dynamic inventory of all borrowed containers',
    flags: ['list', 'host'],
    prints: 'value',
  },
] as const satisfies readonly CommandLineSpec[]

export type CommandName = (typeof commandLines)[number]['name']

/** A command with its arguments, in cac's notation. */
export function usage({ name, args }: CommandLineSpec): string {
  return `${name} ${args}`.trim()
}
