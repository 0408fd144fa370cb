/**
 * How long `ps` waits for the state that a lender reports before it shows `unreachable`. A person waits for the answer.
 */
export const LENDER_TIMEOUT_MS = 3_000

/**
 * Maximum number of members of one group, and of containers borrowed for it in one request. Each exec is an ssh
 * process.
 */
export const GROUP_MEMBERS_MAX = 1_024

/**
 * How many containers of one group are borrowed at the same time. Many have the same lender, whose engine is
 * sequential.
 */
export const CONCURRENT_TAKES_MAX = 8

/** How many lenders are asked for their state at the same time. An unreachable one costs `LENDER_TIMEOUT_MS`. */
export const CONCURRENT_LENDERS_MAX = 32

/** How many members of a group run a command at the same time. Each needs an ssh process of 10 MB. */
export const CONCURRENT_EXECS_MAX = 32

/**
 * How long a container that nobody was told about may take to be removed at its lender, also while the node stops. A
 * person waits for that, and Docker needs up to 10 s.
 */
export const ROLLBACK_TIMEOUT_MS = 15_000

/** How many seconds ssh waits for a container's SSH server to answer. Without this, a silent one costs two minutes. */
export const SSH_CONNECT_TIMEOUT_S = 10

/**
 * How long a command waits to learn where the ports of a lender behind a router are now, and the delay between two questions. A
 * relay that dies is replaced within five seconds, so that a command of that time succeeds.
 */
export const LOCATE_TIMEOUT_MS = 8_000
export const LOCATE_RETRY_MS = 250
