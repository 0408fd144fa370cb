/** Every command of the command line as data. A new one is one row here and one block in `cli.ts`. */
export interface CommandLineSpec {
  /** One or two words. */
  name: string
  /** cac's notation: `<needed>`, `[optional]`, `[...many]`. */
  args: string
  help: string
  flags: readonly string[]
  /** What it prints: one value (a table, or JSON where piped or with `--json`), or a stream of lines. */
  prints: 'value' | 'stream'
}

export const commandLines = [
  {
    name: 'start',
    args: '[...where]',
    help: 'Lend this machine: run a node until Ctrl-C. WHERE are machines to begin with, as with add',
    flags: ['host', 'port', 'open', 'ip-service', 'quiet'],
    prints: 'stream',
  },
  { name: 'stop', args: '', help: 'End the node that runs on this home', flags: [], prints: 'value' },
  {
    name: 'touch',
    args: '<where>',
    help: 'Take a container on another machine',
    flags: ['ports', 'udp-ports', 'gpu', 'image', 'key', 'password'],
    prints: 'value',
  },
  {
    name: 'rm',
    args: '[where] <id>',
    help: 'Give a container back; its /data goes with it. WHERE for one that is not tracked here',
    flags: ['yes', 'id', 'forget'],
    prints: 'value',
  },
  { name: 'ps', args: '', help: 'Containers taken, and how each is now', flags: [], prints: 'value' },
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
    help: 'What a container has printed',
    flags: ['follow', 'tail'],
    prints: 'stream',
  },
  {
    name: 'specs',
    args: '[where]',
    help: 'Processor, memory, disk, cards and load of a machine; of this one without WHERE',
    flags: [],
    prints: 'value',
  },
  { name: 'id', args: '', help: 'Node id and public key of this node', flags: [], prints: 'value' },
  {
    name: 'trust add',
    args: '<...key>',
    help: 'Let the owner of a public key borrow here: the line itself, or a file that holds it',
    flags: ['name'],
    prints: 'value',
  },
  { name: 'trust rm', args: '<who>', help: 'Take that back', flags: [], prints: 'value' },
  { name: 'trust ls', args: '', help: 'Who may borrow here', flags: [], prints: 'value' },
  { name: 'lent', args: '', help: 'Containers that this node lends, and to whom', flags: [], prints: 'value' },
  {
    name: 'evict',
    args: '<id>',
    help: 'End a container that this node lends; its /data goes with it',
    flags: ['yes'],
    prints: 'value',
  },
  {
    name: 'image build',
    args: '',
    help: 'Build the image for lent containers now, showing every line',
    flags: [],
    prints: 'stream',
  },
  { name: 'events', args: '', help: 'Everything that happens in the running node', flags: [], prints: 'stream' },
  { name: 'config', args: '', help: 'The settings of this home', flags: [], prints: 'value' },
  { name: 'init', args: '', help: 'Make the home folder where it is missing', flags: [], prints: 'value' },
  {
    name: 'group create',
    args: '[...ids]',
    help: 'Make a group of tracked containers, of new ones on other machines, or of both',
    flags: ['name', 'on', 'count', 'nearest', 'ports', 'udp-ports', 'gpu', 'image', 'key'],
    prints: 'value',
  },
  { name: 'group ls', args: '', help: 'The groups and how many containers are in each', flags: [], prints: 'value' },
  { name: 'group show', args: '<group>', help: 'A group, and how its containers are now', flags: [], prints: 'value' },
  { name: 'group add', args: '<group> <...id>', help: 'Put containers into a group', flags: ['id'], prints: 'value' },
  {
    name: 'group remove',
    args: '<group> <...id>',
    help: 'Take containers out of a group; they live on',
    flags: ['id', 'rmcgroup'],
    prints: 'value',
  },
  {
    name: 'group rm',
    args: '<group>',
    help: 'Forget a group; its containers live on unless they are named too',
    flags: ['containers', 'yes'],
    prints: 'value',
  },
  {
    name: 'group exec',
    args: '<group> [...command]',
    help: 'Run a command in every container of a group: group exec GROUP -- COMMAND. Ends with the worst exit code',
    flags: ['retry-failed'],
    prints: 'stream',
  },
  {
    name: 'group ssh-config',
    args: '<group>',
    help: 'Host entries for the containers of a group, for ssh -F',
    flags: [],
    prints: 'stream',
  },
  {
    name: 'ls',
    args: '',
    help: 'Machines that are known here, the nearest first',
    flags: ['sort', 'gpu', 'min-ram', 'min-cores', 'min-down', 'min-up', 'max-latency', 'watch'],
    prints: 'value',
  },
  {
    name: 'update',
    args: '',
    help: 'Look who is there: measure the known, ask them whom they know, and so on',
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
    help: 'Say something about this machine that all others see in ls; without TEXT, take it back',
    flags: [],
    prints: 'value',
  },
  {
    name: 'speed',
    args: '<where>',
    help: 'How near and how fast a machine is, measured now; it must let this node measure',
    flags: ['direction'],
    prints: 'value',
  },
  {
    name: 'plugin ls',
    args: '',
    help: 'Plugins, and what is wrong with those that are bad',
    flags: [],
    prints: 'value',
  },
  { name: 'plugin show', args: '<name>', help: 'One plugin and its files', flags: [], prints: 'value' },
  {
    name: 'plugin run',
    args: '<name> [...values]',
    help: 'Run a plugin on the container or the group --id; VALUES are name=value for its variables',
    flags: ['id', 'timeout', 'output', 'stock'],
    prints: 'stream',
  },
  {
    name: 'plugin pull',
    args: '<url>',
    help: 'Fetch a plugin with git, or bring it up to date',
    flags: ['commit', 'ssh'],
    prints: 'value',
  },
  { name: 'plugin rm', args: '<name>', help: 'Delete a plugin', flags: ['yes'], prints: 'value' },
  {
    name: 'ssh-config',
    args: '',
    help: 'Write Host entries for everything borrowed, and say how to include them',
    flags: [],
    prints: 'value',
  },
  {
    name: 'inventory',
    args: '',
    help: 'Ansible’s dynamic inventory of everything borrowed',
    flags: ['list', 'host'],
    prints: 'value',
  },
] as const satisfies readonly CommandLineSpec[]

export type CommandName = (typeof commandLines)[number]['name']

/** A command with its arguments, in cac's notation. */
export function usage({ name, args }: CommandLineSpec): string {
  return `${name} ${args}`.trim()
}
