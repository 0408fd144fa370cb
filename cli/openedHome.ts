import type { Call } from './runCommand.ts'

/** Opens the home of this environment, and shows its warnings. */
export async function openedHome({ terminal }: Pick<Call, 'terminal'>) {
  const { openHome } = await import('./inProcess.ts')
  const home = await openHome(process.env)
  for (const note of home.notes) terminal.note(note)
  return home
}
