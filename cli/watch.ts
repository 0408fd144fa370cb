import { AppError } from '../protocol/errors.ts'
import type { Call } from './runCommand.ts'
import type { Terminal } from './terminal.ts'

const WATCH_INTERVAL_MS = 1_000

/** One view of what is watched. */
export interface View {
  /** For a program. */
  document: unknown
  /** `columns` is the width of the screen; absent where lines may be of any length. */
  text(style: Terminal['style'], columns?: number): string
  /** What makes two looks differ where that is not the document: ages change all the time. */
  identity?: unknown
}

/**
 * Shows what `view` returns once a second until SIGINT: over itself on a screen, elsewhere one line for each change.
 * Throws `no_node` where no node runs on this home.
 */
export async function watch({ terminal, signal }: Call, view: () => Promise<View>): Promise<undefined> {
  await assertNode()
  const { setTimeout: delay } = await import('node:timers/promises')
  let before = ''
  while (!signal.aborted) {
    const { document, text, identity = document } = await view()
    if (terminal.onScreen) terminal.draw(text((_, plain) => plain, terminal.columns).split('\n'))
    else {
      const now = JSON.stringify(identity)
      if (now !== before) terminal.line(document, text(terminal.style))
      before = now
    }
    await delay(WATCH_INTERVAL_MS, undefined, { signal }).catch(() => {})
  }
}

/** A command that looks at a running node is of no use without one. Throws `no_node`. */
export async function assertNode(): Promise<void> {
  const [{ runningNode }, { homePaths }] = await Promise.all([
    import('../actors/home/lockHolder.ts'),
    import('../actors/homePaths.ts'),
  ])
  if (!runningNode(homePaths(process.env).lock)) throw new AppError('no_node')
}
