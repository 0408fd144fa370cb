/**
 * Every timeout and limit: value, unit in the name, reason. Times are milliseconds, sizes bytes, unless a name says
 * otherwise. What an owner may change is read from the configuration by the actor that uses it; these are the defaults.
 */

/** TCP port of a node, as in P2PRC, so that old links and habits work. */
export const PORT = 8088

/** `/api/v1`'s version, named in the greeting. Raised only when an older node could misread a message. */
export const PROTOCOL_VERSION = 1

/** How long a CLI without a running node waits for the home's lock before it gives up. Longer than any file write. */
export const LOCK_WAIT_MS = 5_000

/** How long a TCP and TLS handshake to a peer may take. A far peer needs 1 s; a lost SYN is retried after 1 and 3 s. */
export const CONNECT_TIMEOUT_MS = 5_000

/** How long a peer may stay silent while it answers a command. Its heartbeat comes every `HEARTBEAT_MS`. */
export const SILENCE_TIMEOUT_MS = 15_000

/** How often a door writes an empty line while a command is at work, so that silence means a broken connection. */
export const HEARTBEAT_MS = 5_000

/** How long `ps` waits for a lender's present word before it shows `unreachable`. A person waits for it. */
export const ASK_LENDER_TIMEOUT_MS = 3_000

/** Largest body of a command or an IP table. A table of 4,096 entries of 437 bytes would be 1.8 MB; commands are small. */
export const BODY_MAX_BYTES = 2 * 1024 * 1024

/** Deepest JSON that is read: `JSON.stringify` overflows the stack on what `JSON.parse` accepts. */
export const JSON_MAX_DEPTH = 32

/** Plain HTTP requests that one address may make: `count` within `windowMs`. Pinging every second stays far below. */
export const STRANGER_RATE = { count: 6_000, windowMs: 10_000 } as const

/** Tables that one address may upload: a Go node uploads two a round. Reading the largest takes 50 ms. */
export const TABLE_RATE = { count: 30, windowMs: 10_000 } as const

/** How long a connection may stay without a complete request (slow-loris). */
export const HEADERS_TIMEOUT_MS = 10_000

/** Limits of a guest, so that one cannot starve the lender or another guest. */
export const GUEST = {
  /** Share of the machine's cores. */
  cpuShare: 0.5,
  /** Share of the machine's memory; swap is set equal, so none is added. */
  memoryShare: 0.25,
  /** Processes and threads. A fork bomb stops here; a build of a large program does not. */
  pids: 1_024,
  /** Log kept by the engine: files of `maxSize`, `maxFile` of them. */
  log: { maxSize: '10m', maxFile: '3' },
  /** Open files; Podman refuses to start without a number. */
  nofile: { soft: 65_536, hard: 65_536 },
} as const

/** Extra ports that one container may ask for, tcp and udp together. Each costs the engine a proxy process. */
export const EXTRA_PORTS_MAX = 64

/** Containers that a node lends at one time. */
export const CONTAINERS_MAX = 64

/** Host ports for guests are taken from here: above the registered services, below Linux's ephemeral range. */
export const GUEST_PORTS = { first: 20_000, last: 32_000 } as const

/** How often a create tries other ports after the engine reported a clash. */
export const PORT_TRIES = 8

/** How long a guest's SSH server may take to answer with its banner after the start. */
export const SSH_BANNER_TIMEOUT_MS = 10_000

/** How often specifications are read again in the background. Load is worth a look every half minute. */
export const SPECS_INTERVAL_MS = 30_000

/** How often a node without an engine looks for one. */
export const ENGINE_RETRY_MS = 5_000

/** How long a stopping node takes back what it was making. What is left then, its next start takes back. */
export const TAKE_BACK_MS = 5_000

/** Restart of a crashed concern: first wait, longest wait, and the healthy time after which the wait starts anew. */
export const RESTART = { firstMs: 200, longestMs: 30_000, healthyMs: 60_000 } as const

/** How long one reading of the specifications may take: a hung disk or driver must not stop the ones after it. */
export const SPECS_READ_TIMEOUT_MS = 10_000

/** How long `nvidia-smi` may take. Without persistence mode the driver is loaded first, which takes seconds. */
export const NVIDIA_SMI_TIMEOUT_MS = 8_000

/** Largest output of `nvidia-smi -q -x` that is read. One card is 20 KiB. */
export const NVIDIA_SMI_MAX_BYTES = 4 * 1024 * 1024

/** How long a Go P2PRC node may take for a plain `/server_info`: it runs `nvidia-smi` on every call. */
export const LEGACY_TIMEOUT_MS = 15_000

/** Hops of a walk: P2PRC's text says 3. Each hop multiplies the peers asked; more than 16 reaches nobody new. */
export const HOPS = { usual: 3, most: 16 } as const

/** Peers that the table holds. 4,096 entries of 437 bytes are 1.8 MB, which one message still carries. */
export const PEERS_MAX = 4_096

/** Looking after peers without a link. Times are counted in ticks of `TABLE_TICK_MS`, never on the wall clock. */
export const PROBE = {
  /** One peer, and one address named by strangers, is dialled this often at most. */
  everyMs: 30_000,
  /** Dials a second in all, so that nobody can use this node to flood another. */
  dialsPerSecond: 10,
  /** Probes under way at one time: ten a second that each hang until their time-out. */
  parallel: 30,
  /** How long connecting and answering may take together. Go P2PRC runs `nvidia-smi` before it answers. */
  timeoutMs: 3_000,
  /** Failures in a row until a suspected peer is dropped: 90 s, so that a restart of a node is survived. */
  dropAfter: 3,
  /** A dropped peer is looked for after `everyMs`, then twice as long each time, up to this. */
  longestMs: 3_600_000,
  /** Failed looks after which a dropped peer that the owner did not add is forgotten: about eight days. */
  forgetAfter: 200,
} as const

/** How often the table looks what is due; its ages are exact to this. */
export const TABLE_TICK_MS = 1_000

/** Addresses of strangers that wait to be looked at: in all, and of one host, so that none can crowd out the others. */
export const CANDIDATES_MAX = { all: 4_096, perHost: 16 } as const

/** How long changes that nobody waits for are gathered before the table is written. Losing them costs one look round. */
export const TABLE_SAVE_MS = 10_000

/** Least time between two writes of the table, but for those that somebody waits for. */
export const TABLE_PAUSE_MS = 1_000

/** How long a container engine may take to say its version before it counts as missing. A healthy one needs 10 ms. */
export const ENGINE_CONNECT_TIMEOUT_MS = 5_000

/** How long pulling the base image may stay silent before it is made here. An unreachable registry says nothing. */
export const BASE_PULL_SILENCE_MS = 10_000

/**
 * What root in a guest may still do: log in by SSH and install packages, no more. SETFCAP stays out: it would give
 * `ping` file capabilities that then fail. Podman needs NET_BIND_SERVICE besides, for port 22.
 */
export const GUEST_CAPABILITIES = [
  'AUDIT_WRITE',
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'KILL',
  'SETGID',
  'SETUID',
  'SYS_CHROOT',
] as const

/** The engine's network for guests and its bridge. One for all nodes of a machine; an interface name has 15 characters. */
export const GUEST_NETWORK = 'p2prc-guests'

/** Removed containers that a node remembers, so that removing one twice is no error. Each costs 100 bytes. */
export const REMOVED_REMEMBERED = 1_000

/** Members of one group, and containers taken for one in one go. Each exec is an ssh process. */
export const GROUP_MEMBERS_MAX = 1_024

/** Containers of one group taken at the same time: many of them land on one lender, whose engine works one by one. */
export const TAKES_AT_ONCE = 8

/** Lenders asked for their present word at the same time. An unreachable one costs `ASK_LENDER_TIMEOUT_MS`. */
export const LENDERS_AT_ONCE = 32

/** Members of a group on which a command runs at the same time. Each is an ssh process of 10 MB. */
export const EXECS_AT_ONCE = 32

/** Gossip. Times are monotonic milliseconds. What a round costs is measured in `bench/gossip.ts`. */
export const GOSSIP = {
  /** One round: a node compares tables with `contacts` of its links, which is its probe of them too. */
  roundMs: 1_000,
  contacts: 1,
  /** Links to which something new is pushed at once. Three reach 94 % unaided; comparing finds the rest. */
  fanout: 3,
  /** Links that a node looks for, and lasting links that it keeps: a random graph of degree 8 stays connected. */
  linksWanted: 8,
  linksMost: 12,
  /** Of these, links that the node chose and dialled itself: they never give way to accepted ones. */
  linksChosen: 4,
  /** Connections at one time, visitors included. */
  socketsMost: 64,
  /** Lasting links into one neighbourhood, so that a crowd behind one address cannot surround a node. */
  linksPerNeighbourhood: 2,
  /** How long a link that one end does not keep may stay: a visit is over in a second. */
  visitMs: 4_000,
  /** How often a node looks at a random member it has no link to: finds ghosts, joins what had split. */
  visitEveryMs: 30_000,
  /** How often one of the departed, or an address given by hand, is tried again; without any link soon, then less often. */
  retryMs: 15_000,
  lonelyFirstMs: 150,
  lonelyRetryMs: 1_000,
  /** Dials a second in all, and how long until one address is dialled again on somebody else's word. */
  dialsPerSecond: 10,
  redialMs: 30_000,
  /** How long an answer may take, twice, before others are asked to look too; then how long those may take. */
  pingTimeoutMs: 300,
  indirectTimeoutMs: 700,
  /** How long dialling may take when it is a probe: one lost SYN is sent again after a second. */
  dialTimeoutMs: 1_600,
  /** Members asked to look too (SWIM's k). */
  mediators: 3,
  /** A hint about a node without a link is looked into after this and up to half as much again: its denial is faster. */
  hintPatienceMs: 600,
  /** Shortest time from suspicion to death, times max(1, log10 of the members); the longest is `suspicionSpread` as long. */
  suspicionMs: 1_000,
  suspicionSpread: 3,
  /** Independent confirmations that bring the shortest time, and how long where the address itself refuses. */
  confirmations: 2,
  refusedMs: 300,
  /** How long a node that just answered here is safe from hints. */
  vouchMs: 10_000,
  /** Least time between two denials of the own death. */
  denyMs: 400,
  /** With another node that uses this key, that pause doubles up to this: else the two would never stop answering each other. */
  twinPauseMs: 300_000,
  /** An event this much later than it was due means that this process stood still, not that the others died. */
  stallMs: 1_000,
  /** Lifeguard: own troubles stretch the own time-outs up to this many times. */
  healthMost: 8,
  /** How long something counts as new, to be named in a heartbeat. */
  recentMs: 10_000,
  /** Signatures to check that one peer may cause a second, and hints that it may pass on. */
  recordsPerSecond: 200,
  doubtsPerSecond: 100,
  /** Records and digests that one peer is served a second. */
  servedPerSecond: 400,
  digestsPerSecond: 4,
  /** How long an asked-for record is waited for before another is asked. */
  wantedMs: 1_000,
  /** How long two tables that cannot be brought closer are left alone while neither changes. */
  settledMs: 5_000,
  /** Members, members of one neighbourhood, and members without a public address, which a LAN may have many of. */
  tableMost: 4_096,
  neighboursMost: 16,
  privateMost: 1_024,
  /** The departed that are remembered, so that they do not rise, and how long. */
  gravesMost: 4_096,
  gravesMs: 48 * 3_600_000,
  /** Broken messages or forged records until a peer is sent away, and for how long. */
  strikes: 3,
  banMs: 600_000,
} as const

/** How long one run of a plugin may take where nobody says otherwise. An installation over a slow line takes 20 minutes. */
export const PLUGIN_TIMEOUT_MS = 3_600_000

/** Longest time that a run of a plugin may be given: a day. Timers end at 24.8 days. */
export const PLUGIN_TIMEOUT_MAX_MS = 86_400_000

/** Members worked on at the same time. Each fork is a Python process of 50 MB on the borrower's machine. */
export const PLUGIN_FORKS_MAX = 50

/** How long Ansible has to end by itself after it was told to stop; then it is killed. */
export const PLUGIN_STOP_MS = 3_000

/** Oldest Ansible that is used: the first with the callbacks, UTF-8 checks and interpreter rules of today. */
export const ANSIBLE_OLDEST = '2.12'

/** What a pulled plugin may be: time for git, bytes and files when unpacked, and bytes that git may fetch. */
export const PULL = {
  timeoutMs: 120_000,
  bytes: 64 * 1024 * 1024,
  files: 2_000,
  fetchBytes: 128 * 1024 * 1024,
} as const

/** How often a node looks whether its own addresses have changed. */
export const ADDRESSES_INTERVAL_MS = 10_000

/** A walk from peer to peer (`p2prc update`). */
export const WALK = {
  /** Peers asked at one time. */
  parallel: 16,
  /** One peer's whole exchange: its table of up to 2 MiB over a slow line. */
  peerMs: 10_000,
  /** The whole walk; what was not reached is looked at later in the background. */
  totalMs: 60_000,
  /** New addresses taken from one answer, so that a liar costs the dials of a few seconds at most. */
  perAnswer: 64,
} as const

/** Longest line of an answer that is read: a reply with 64 ports is 10 KB, the longest IP table 1.8 MB goes elsewhere. */
export const LINE_MAX_BYTES = 1024 * 1024

/** Longest text of another node's failure that is shown. */
export const FAILURE_MAX_CHARACTERS = 1_000

/** How long a stopping node gives connections to take what was already written to them. */
export const CLOSE_GRACE_MS = 500

/** What may wait for a slow reader of an NDJSON stream before it is cut off. */
export const EVENTS_BACKLOG_BYTES = 1024 * 1024

/** How long a door's connection may neither read nor write. Heartbeats keep a command at work far below it. */
export const IDLE_TIMEOUT_MS = 120_000

/** Addresses whose requests are counted at one time. Above it the count begins anew for all. */
export const STRANGERS_COUNTED_MAX = 65_536

/** Latency over plain HTTP: `trips` round trips, or as many as `totalMs` holds. */
export const LATENCY = { trips: 10, pingMs: 3_000, totalMs: 3_000, maxBytes: 64 * 1024 } as const

/** Finding nodes of the LAN by mDNS. */
export const DISCOVERY = {
  /** RFC 6762 wants a second between answers of one kind. */
  answerEveryMs: 1_000,
  /** Nodes say so when they start; asking again finds those whose word was lost. */
  askEveryMs: 60_000,
  /** How often interfaces are looked at: a laptop changes its network. */
  interfacesMs: 5_000,
} as const

/** How often the latency of a peer that answers is measured in the background: ten round trips of a kilobyte each. */
export const LATENCY_EVERY_MS = 600_000

/** A speed test of one link. */
export const SPEED = {
  /** Bytes are counted in samples of this length. */
  sampleMs: 50,
  /** It ends when this many samples vary by less than `steadiness` (standard deviation over mean). */
  steadySamples: 10,
  steadiness: 0.05,
  /** What the beginning of a TCP connection says of a link is not counted. */
  rampMs: 500,
  /** It takes at least and at most this long in one direction; the connecting, some ms, comes on top. */
  leastMs: 1_500,
  mostMs: 2_900,
  /** It costs at most this, or one second of the measured rate where that is more. */
  mostBytes: 50_000_000,
  /** What may lie in buffers between the two ends: the sender goes on for so much more than the receiver wants. */
  slackBytes: 8_000_000,
  slackMs: 1_000,
  /** How often the rate up to now is told. */
  reportMs: 250,
  /** Tests that this node runs at one time: two would share its own line and measure half of it. */
  ownAtOnce: 1,
  /** Tests of others that it serves at one time; of one peer it serves one. */
  servedAtOnce: 2,
  /** P2PRC's test file `/50`. */
  fileBytes: 50_000_000,
  /** How long a Go node may take for `/50`, and for `/upload` within the time that a request may take. */
  fileMs: 120_000,
  uploadMs: 9_000,
  /** How long bytes are sent to a Go node, which confirms only when it has all. */
  legacySendMs: 2_000,
} as const
