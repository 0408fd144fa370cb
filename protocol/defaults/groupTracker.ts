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
export const TAKES_AT_ONCE = 8

/** How many lenders are asked for their state at the same time. An unreachable one costs `LENDER_TIMEOUT_MS`. */
export const LENDERS_AT_ONCE = 32

/** How many members of a group run a command at the same time. Each needs an ssh process of 10 MB. */
export const EXECS_AT_ONCE = 32
