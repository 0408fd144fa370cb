import { randomUUID } from 'node:crypto'
import { openHome } from '../actors/home.ts'
import { createNode } from '../actors/node.ts'
import { AppError } from '../protocol/errors.ts'
import { type BusEvent, type Command, commands } from '../protocol/index.ts'
import { revealed } from '../protocol/secret.ts'
import { checked } from '../protocol/wire/http.ts'
import type { ReceivedFact, RequestOptions } from './controlClient.ts'
import { ownerLine } from './tables.ts'

/**
 * The whole system, which the command line loads only where it must: for `start`, and for a command on a home on
 * which no node runs, or that needs the schemas. The build makes a bundle of its own of it.
 */
export { readBorrowed } from '../actors/groupTracker/borrowedFiles.ts'
export { dynamicInventory } from '../actors/groupTracker/inventory.ts'
export { sshConfigOf, writeSshConfig } from '../actors/groupTracker/sshConfig.ts'
export { openHome } from '../actors/home.ts'
export { createNode } from '../actors/node.ts'

/** One command for the owner in this process, by a system that listens nowhere and ends afterwards. */
export async function requestInProcess(
  { type, ...payload }: { type: string },
  { onFact, signal, onNote }: RequestOptions,
): Promise<ReceivedFact> {
  const spec = commands.get(type)
  if (!spec) throw new AppError('unknown_command', { name: type })
  const given = checked(spec.schema, payload) as object
  const home = await openHome(process.env)
  for (const note of home.notes) onNote?.(note)
  const tap = (event: BusEvent) => {
    if (event.type === 'node.fileQuarantined') onNote?.(ownerLine({ ...event }) as string)
  }
  const node = await createNode({ home, listen: null, open: false, tap })
  try {
    const command = { ...given, type, requestId: randomUUID(), caller: 'owner' } as Command
    const fact = await node.request(command, {
      ...(signal && { signal }),
      ...(onFact && { onFact: (fact) => onFact(revealed(fact) as ReceivedFact) }),
    })
    return revealed(fact) as ReceivedFact
  } finally {
    await node.stop()
  }
}
