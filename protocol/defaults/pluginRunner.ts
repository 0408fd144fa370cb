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
