/** How long one run of a plugin may take by default. An installation over a slow line takes 20 minutes. */
export const PLUGIN_TIMEOUT_MS = 3_600_000

/** Maximum timeout of a run: one day. Timers of Node.js are limited to 24.8 days. */
export const PLUGIN_TIMEOUT_MAX_MS = 86_400_000

/**
 * How many members Ansible works on at the same time. Each fork is a Python process of 50 MB on the borrower's machine.
 */
export const PLUGIN_FORKS_MAX = 50

/** How long Ansible may take to end after it was told to stop. After that it is killed. */
export const PLUGIN_STOP_TIMEOUT_MS = 3_000

/**
 * The oldest supported version of Ansible: the first with today's callbacks, UTF-8 checks and interpreter discovery.
 */
export const ANSIBLE_MIN_VERSION = '2.12'

/** Limits of a pulled plugin: the time for git, the unpacked bytes and files, and the bytes that git may fetch. */
export const PULL = {
  timeoutMs: 120_000,
  maxBytes: 64 * 1024 * 1024,
  maxFiles: 2_000,
  maxFetchBytes: 128 * 1024 * 1024,
} as const
