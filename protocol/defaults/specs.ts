/** How often the specifications are read in the background. The load changes noticeably within half a minute. */
export const SPECS_INTERVAL_MS = 30_000

/**
 * How long after its start a node reads the specifications unless somebody requests them. A reading starts eight programs,
 * and a node that starts has its network to find first: on a machine with full processors that takes ten seconds and more.
 */
export const SPECS_START_DELAY_MS = 30_000

/** How long one reading of the specifications may take, so that a hung disk or driver does not block later readings. */
export const SPECS_READ_TIMEOUT_MS = 10_000

/** How long `nvidia-smi` may take. Without persistence mode it loads the driver first, for some seconds. */
export const NVIDIA_SMI_TIMEOUT_MS = 8_000

/** Maximum size of the output of `nvidia-smi -q -x`. One card needs 20 KiB. */
export const NVIDIA_SMI_MAX_BYTES = 4 * 1024 * 1024
