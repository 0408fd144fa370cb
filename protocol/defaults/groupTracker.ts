/** How long `ps` waits for a lender's present word before it shows `unreachable`. A person waits for it. */
export const LENDER_TIMEOUT_MS = 3_000

/** Members of one group, and containers taken for one in one go. Each exec is an ssh process. */
export const GROUP_MEMBERS_MAX = 1_024

/** Containers of one group taken at the same time: many of them land on one lender, whose engine works one by one. */
export const TAKES_AT_ONCE = 8

/** Lenders asked for their present word at the same time. An unreachable one costs `LENDER_TIMEOUT_MS`. */
export const LENDERS_AT_ONCE = 32

/** Members of a group on which a command runs at the same time. Each is an ssh process of 10 MB. */
export const EXECS_AT_ONCE = 32
