import { randomUUID } from 'node:crypto'
import { Fault } from '../../protocol/errors.ts'
import { checked } from '../../protocol/http.ts'
import { type BusEvent, type Command, commands } from '../../protocol/index.ts'
import { revealed } from '../../protocol/secret.ts'
import { openHome } from '../home.ts'
import { createNode } from '../node.ts'
import type { AskOptions, ReceivedFact } from './controlClient.ts'
import { ownerLine } from './tables.ts'

/**
 * The whole system, which the command line loads only where it must: for `start`, and for a command on a home on
 * which no node runs, or that needs the schemas. The build makes a bundle of its own of it.
 */
export { readBorrowed } from '../groupTracker/borrowedFiles.ts'
export { dynamicInventory } from '../groupTracker/inventory.ts'
export { sshConfigOf, writeSshConfig } from '../groupTracker/sshConfig.ts'
export { openHome } from '../home.ts'
export { createNode } from '../node.ts'

/** One command for the owner in this process, by a system that listens nowhere and ends afterwards. */
export async function askInProcess(
  { type, ...payload }: { type: string },
  { onFact, signal, onNote }: AskOptions,
): Promise<ReceivedFact> {
  const spec = commands.get(type)
  if (!spec) throw new Fault('unknown_command', { name: type })
  const given = checked(spec.schema, payload) as object
  const home = await openHome(process.env)
  for (const note of home.notes) onNote?.(note)
  const tap = (event: BusEvent) => {
    if (event.type === 'node.fileSetAside') onNote?.(ownerLine({ ...event }) as string)
  }
  const node = await createNode({ home, listen: null, open: false, tap })
  try {
    const command = { ...given, type, requestId: randomUUID(), caller: 'owner' } as Command
    const fact = await node.ask(command, {
      ...(signal && { signal }),
      ...(onFact && { onFact: (fact) => onFact(revealed(fact) as ReceivedFact) }),
    })
    return revealed(fact) as ReceivedFact
  } finally {
    await node.stop()
  }
}
