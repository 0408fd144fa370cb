/**
 * Every error that a user or a peer can receive. `what` says what happened and why, with `{name}` for details; `todo`
 * says what to do about it. `status` is the HTTP status, `exit` the exit code of the CLI (`exitCodes` has the
 * meanings). A released code is never renamed, because scripts read it.
 */
export const exitCodes = {
  0: 'the command succeeded',
  1: 'the command failed for a reason that has no exit code of its own',
  2: 'the command line or a value in it is wrong',
  3: 'the requested object does not exist',
  4: 'the request was refused: the lender does not trust this node',
  5: 'the other node cannot be reached, or does not answer as a node',
  6: 'the lender cannot serve the request: its engine, image, GPU or ports are missing',
  7: 'this machine cannot run the command: the home folder, disk, lock or port has a problem',
  130: 'the command was interrupted with Ctrl-C',
} as const

export interface ErrorKind {
  status: number
  exit: keyof typeof exitCodes
  what: string
  todo: string
  /** Replaces `what` if the detail `kind` is one of these keys. */
  whatFor?: Readonly<Record<string, string>>
  /** Replaces `todo` if the detail `kind` is one of these keys. */
  todoFor?: Readonly<Record<string, string>>
}

/** For each kind of object, the command that lists all objects of this kind. */
const listCommands = {
  node: 'See `p2prc ls`, or name it with `p2prc add`.',
  'borrowed container': 'See `p2prc ps`.',
  group: 'See `p2prc group ls`.',
  'group or borrowed container': 'See `p2prc group ls` and `p2prc ps`.',
  plugin: 'See `p2prc plugin ls`.',
  'plugin of yours': 'See `p2prc plugin ls`; the plugins that ship with P2PRC cannot be deleted.',
  'lent port': 'See `p2prc relay ls`.',
  'trusted peer': 'See `p2prc trust ls`.',
  member: 'See `p2prc group show {group}`.',
}

// biome-ignore format: the catalogue is a table with one error per line
export const catalogue = {
  internal: { status: 500, exit: 1, what: 'Something went wrong inside P2PRC: {why}', todo: 'Please report it with the output of `p2prc events`.' },
  bad_request: { status: 400, exit: 2, what: '{why}', todo: 'Correct the value and try again.' },
  unknown_command: { status: 404, exit: 2, what: 'There is no command "{name}"', todo: 'See `p2prc --help`.' },
  unknown_flag: { status: 400, exit: 2, what: 'There is no flag "{name}"', todo: 'See `p2prc --help`.' },
  usage: { status: 400, exit: 2, what: 'Usage: p2prc {usage}', todo: 'See `p2prc {name} --help`.' },
  missing_value: { status: 400, exit: 2, what: '{name} needs a value', todo: 'See `p2prc --help`.' },
  bad_count: { status: 400, exit: 2, what: '{name} must be a whole number from {min} to {max}, not "{value}"', todo: 'Give a number in this range.' },
  bad_key: { status: 400, exit: 2, what: 'That is not an OpenSSH public key: {why}', todo: 'Give one line of a .pub file, such as "ssh-ed25519 AAAA… name".' },
  bad_media_type: { status: 415, exit: 2, what: 'The body must be {wanted}', todo: 'Send it with the header content-type: {wanted}.' },
  bad_address: { status: 400, exit: 2, what: '"{where}" is not an address', todo: 'Give a name, ip, ip:port, [v6]:port or the beginning of a node id.' },
  bad_image: { status: 400, exit: 2, what: '"{image}" is not an image that this node lends', todo: 'Ask the lender for the names of its images, or omit the image.' },
  request_id_in_use: { status: 409, exit: 2, what: '{type} has the same request id as {pending}, which has no answer yet', todo: 'Give it a request id of its own; only a repetition of the same command has the same one.' },
  too_large: { status: 413, exit: 2, what: 'The message is larger than {max} bytes', todo: 'Send a smaller message.' },
  too_many: { status: 429, exit: 4, what: 'Too many requests from {from}', todo: 'Wait a few seconds and try again.' },
  not_found: { status: 404, exit: 3, what: 'There is no {kind} "{id}"', todo: 'See `p2prc ls` for machines, `p2prc ps` for borrowed containers, `p2prc lent` for lent containers.', todoFor: listCommands, whatFor: { member: 'The container "{id}" is not in the group {group}' } },
  ambiguous: { status: 409, exit: 2, what: '"{id}" matches more than one {kind}: {matches}', todo: 'Give more characters of it.' },
  not_trusted: { status: 403, exit: 4, what: 'The lender does not trust this node to {action}', todo: 'Ask the lender to run: {line}' },
  foreign_origin: { status: 403, exit: 4, what: 'A web page of {origin} may not send requests to this node', todo: 'Use the p2prc command instead.' },
  not_owner: { status: 403, exit: 4, what: 'Only the owner of the node may do that', todo: 'Ask the owner.' },
  unreachable: { status: 502, exit: 5, what: '{where} cannot be reached: {why}', todo: 'Is the node running there (`p2prc start`), and is the port open?' },
  timed_out: { status: 504, exit: 5, what: '{where} did not answer within {ms} ms', todo: 'Try again; if this happens again, check the node and the network.' },
  dialled_lately: { status: 429, exit: 1, what: '{where} was dialled a moment ago', todo: 'An address that comes from another node is dialled once in 30 s; try again later.' },
  address_unknown: { status: 502, exit: 5, what: '{service} did not say the public address of this machine: {why}', todo: 'Check --ip-service; peers report the address too.' },
  protocol_error: { status: 502, exit: 5, what: '{where} does not answer as a P2PRC node: {why}', todo: 'Check the address and the port.' },
  other_version: { status: 502, exit: 5, what: '{where} speaks protocol version {theirs}, and this P2PRC speaks {ours}', todo: 'Update the older one.' },
  punching_missing: { status: 501, exit: 5, what: 'UDP cannot be punched through routers here, because hyperdht does not load: {why}', todo: 'Run `npm install hyperdht` where P2PRC is installed. Until then, peers behind routers are reached over a relay.' },
  family_missing: { status: 502, exit: 5, what: 'This machine has no IPv6 address that others reach', todo: 'Ask the provider for IPv6; until then, other ways are used.' },
  wrong_node: { status: 502, exit: 5, what: '{where} is not the node {expected}, it is {found}', todo: 'The address belongs to another node now; find the address of the right one with `p2prc ls`.' },
  not_dialled: { status: 403, exit: 5, what: '{where} comes from an anonymous caller and is not dialled: it is {why}', todo: 'If it is a node of yours, add it with `p2prc add`.' },
  no_relay: { status: 503, exit: 5, what: 'No relay lends a port to this node: {why}', todo: 'See `p2prc ls` for other machines; a public node relays unless its owner has turned it off.' },
  router_refused: { status: 502, exit: 5, what: 'No router maps a port to this machine', todo: 'Allow UPnP or NAT-PMP in the settings of the router, or forward the port there by hand.' },
  mapping_unconfirmed: { status: 502, exit: 5, what: 'The router says that it maps port {port}, but nobody outside reaches this machine there', todo: 'Maybe there is another router before it, of the provider; a relay helps then.' },
  connection_lost: { status: 502, exit: 5, what: 'The connection to {where} was lost before the answer came', todo: 'Try again; it is safe to repeat a request.' },
  reader_slow: { status: 503, exit: 1, what: 'The answer was read too slowly, and the rest of it was dropped', todo: 'Try again, and read the answer as it arrives.' },
  abandoned: { status: 499, exit: 1, what: 'The client closed the connection before the request was done', todo: 'Try again.' },
  engine_missing: { status: 503, exit: 6, what: 'No container engine answers on the lending machine: {why}', todo: 'Install and start one there (Debian: apt-get install docker.io).', todoFor: {
    forbidden: 'It runs, but not for this user: run `adduser USER docker` there as root, with the user that runs the node, and log in again.',
    lost: 'Try again in a moment.',
  }, whatFor: { lost: 'Docker’s connection broke off: {why}' } },
  engine_failed: { status: 502, exit: 6, what: 'The container engine refused: {why}', todo: 'Read the reason; nothing was left behind.' },
  image_failed: { status: 502, exit: 6, what: 'The image could not be built: {why}', todo: 'Run `p2prc image build` on the lending machine and read its output.' },
  base_missing: { status: 502, exit: 6, what: 'No base image is available: {why}', todo: 'Let the engine reach a registry, or install debootstrap on the lending machine.' },
  gpu_missing: { status: 503, exit: 6, what: 'The lending machine cannot give a GPU: {why}', todo: 'Repeat the request without --gpu, or ask another machine.' },
  ports_exhausted: { status: 503, exit: 6, what: 'The lending machine does not have {count} free ports', todo: 'Ask for fewer ports.' },
  limit_reached: { status: 429, exit: 6, what: 'This node already lends {count} containers, its limit', todo: 'Give one back first, or ask another machine.' },
  ssh_failed: { status: 502, exit: 6, what: 'The container runs but its SSH server does not answer: {why}', todo: 'Ask for another container; this one was removed.' },
  container_stopped: { status: 409, exit: 6, what: 'The container exists, but it does not run: {why}', todo: 'Ask its lender to start it, and then try again.' },
  home_unusable: { status: 500, exit: 7, what: 'The home folder {path} cannot be used: {why}', todo: 'Make it writable, or choose another home folder with the P2PRC variable.', todoFor: {
    full: 'Free some space.',
    folder: 'A folder is where that file belongs; move it away.',
    elsewhere: 'Choose another home folder with the P2PRC variable.',
  } },
  bad_identity: { status: 500, exit: 7, what: 'The node key {path} cannot be used: {why}', todo: 'Restore the right file, or move this one away to start with a new identity.' },
  home_locked: { status: 409, exit: 7, what: 'Another {kind} (process {pid}) uses the home folder {path}', todo: 'Stop that node, or choose another home folder with the P2PRC variable.', todoFor: {
    command: 'Try again when the commands that work there have ended, or choose another home folder with the P2PRC variable.',
  } },
  disk_failed: { status: 507, exit: 7, what: '{path} could not be written: {why}', todo: 'Make it writable; the previous content is unchanged.', todoFor: {
    full: 'Free some space; the previous content is unchanged.',
    folder: 'A folder is where that file belongs; move it away.',
  } },
  newer_file: { status: 500, exit: 7, what: '{path} was written by a newer P2PRC (version {version})', todo: 'Update this P2PRC; the file is unchanged.' },
  bad_domain: { status: 400, exit: 2, what: '"{name}" is not a domain name', todo: 'Give a name with a dot, such as shop.example.org; other letters than a to z as DNS has them (xn--…).' },
  domain_taken: { status: 409, exit: 4, what: 'The domain {name} belongs to another node', todo: 'Choose another name, or another relay with --via.' },
  port_not_lent: { status: 403, exit: 4, what: 'Port {port} is not lent to this node, so no domain can lead to it', todo: 'Map a port first; the domain leads to that port.' },
  no_domains: { status: 501, exit: 4, what: 'This node shows no domains', todo: 'Its owner can set ProxyPort in its config.json; `p2prc map --domain` finds a node that does.' },
  too_many_domains: { status: 429, exit: 4, what: 'There is no room for the domain {name}', todo: 'Give up another domain first, or choose another relay with --via.' },
  port_busy: { status: 500, exit: 7, what: 'Port {port} is already in use', todo: 'Stop the program that uses it, or choose another port with --port.' },
  listen_failed: { status: 500, exit: 7, what: 'The node cannot listen on {where}: {why}', todo: 'Choose another address with --host, or another port with --port.' },
  stopping: { status: 503, exit: 5, what: 'The node is stopping', todo: 'Try again when it runs again.' },
  no_node: { status: 503, exit: 7, what: 'No node runs with this home folder', todo: 'Start one with `p2prc start`.' },
  program_missing: { status: 500, exit: 7, what: 'The program "{name}" is not installed', todo: 'Install it (Debian: apt-get install {package}).' },
  bad_name: { status: 400, exit: 2, what: '"{name}" is not a valid name of a {kind}', todo: 'Use 1 to 63 letters, digits, dots, dashes and underscores; the first must be a letter or digit.' },
  bad_url: { status: 400, exit: 2, what: '"{url}" cannot be pulled: {why}', todo: 'Give an address such as https://host/owner/plugin.' },
  pull_failed: { status: 502, exit: 5, what: '{url} could not be pulled: {why}', todo: 'Check the address and the network; nothing was changed here.' },
  plugin_bad: { status: 422, exit: 1, what: 'The plugin "{name}" cannot be used: {why}', todo: 'Correct it, or ask its author.' },
  plugin_exists: { status: 409, exit: 1, what: 'There is already a plugin "{name}", and it does not come from {url}', todo: 'Remove that one first with `p2prc plugin rm {name}`.' },
  plugin_failed: { status: 502, exit: 1, what: 'The plugin "{name}" failed on {failed} of {all} containers: {why}', todo: 'It used no port of the containers on which it failed; correct the cause and run it again.' },
  plugin_timed_out: { status: 504, exit: 1, what: 'The plugin "{name}" did not end within {seconds} s and was stopped', todo: 'Give it more time with --timeout, or find out why it hangs.' },
  group_empty: { status: 409, exit: 3, what: 'There is no container in "{id}"', todo: 'Add one with `p2prc group add`.' },
  peers_short: { status: 409, exit: 3, what: 'Only {found} of the {count} requested machines answer', todo: 'Ask for fewer machines, or find more with `p2prc update`.' },
  ports_short: { status: 409, exit: 6, what: 'The container {id} has too few free ports for the plugin "{name}": {free} of {count}', todo: 'Borrow a container with more ports: p2prc touch <where> --ports N.' },
  program_old: { status: 500, exit: 7, what: 'The program "{name}" is version {found}, which is too old', todo: 'Install {needed} or newer (Debian 12 has it).' },
  needs_yes: { status: 400, exit: 2, what: '{what} cannot be undone', todo: 'Repeat the command with --yes.' },
  not_served: { status: 502, exit: 5, what: '{where} does not serve {what} (status {status}), so its speed cannot be measured this way', todo: 'A Go node needs the file that its SpeedTestFile names.' },
  interrupted: { status: 499, exit: 130, what: 'Interrupted', todo: '' },
} as const satisfies Record<string, ErrorKind>
