import { AppError } from '../protocol/errors.ts'

/**
 * Exits with the code of the command once it has ended and its last line is written, without waiting for handles that a
 * library may still hold open.
 */
export function exitWith(ended: Promise<number>): void {
  process.stdout.on('error', onStreamError)
  process.stderr.on('error', onStreamError)
  // Node itself ends with 0 when nothing is left to wait for. A command that has not ended by then has not succeeded.
  const unended = new AppError('internal', { why: 'the command has not ended, but nothing is left to wait for' })
  process.exitCode = unended.exit
  const onIdle = () => process.stderr.write(`p2prc: ${unended.message}\n`)
  process.once('beforeExit', onIdle)
  ended.then((code) => {
    process.off('beforeExit', onIdle)
    process.exitCode = code
    process.stdout.write('', () => process.exit(code))
  })
}

/**
 * EPIPE is not an error: a reader such as `head` has closed the pipe because it has read enough. EIO comes from a terminal
 * that was closed; what is under way is rolled back then, so the process goes on.
 */
function onStreamError(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0)
  if (error.code !== 'EIO') throw error
  closeStreamsAtExit()
}

/** For a terminal that is gone: when Node exits, it resets that of each open stream, and aborts where it cannot. */
export function closeStreamsAtExit(): void {
  process.once('exit', () => {
    // Loaded only now, because hardly any command needs it.
    const { closeSync } = process.getBuiltinModule('node:fs')
    for (const stream of [0, 1, 2])
      try {
        closeSync(stream)
      } catch {}
  })
}
