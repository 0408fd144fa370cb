/** How often specifications are read again in the background. Load is worth a look every half minute. */
export const SPECS_INTERVAL_MS = 30_000

/** How long one reading of the specifications may take: a hung disk or driver must not stop the ones after it. */
export const SPECS_READ_TIMEOUT_MS = 10_000

/** How long `nvidia-smi` may take. Without persistence mode the driver is loaded first, which takes seconds. */
export const NVIDIA_SMI_TIMEOUT_MS = 8_000

/** Largest output of `nvidia-smi -q -x` that is read. One card is 20 KiB. */
export const NVIDIA_SMI_MAX_BYTES = 4 * 1024 * 1024
