import { randomUUID } from 'node:crypto'
import { openHome } from '../actors/home.ts'
import { createNode, type Node } from '../actors/node.ts'
import type { ReceivedFact, Transport } from '../client/transport.ts'
import { AppError } from '../protocol/errors.ts'
import { type BusEvent, type Command, commands } from '../protocol/index.ts'
import { revealed } from '../protocol/secret.ts'
import { checked } from '../protocol/wire/http.ts'
import { ownerLine } from './tables.ts'

export { openHome } from '../actors/home.ts'
export { createNode } from '../actors/node.ts'
/**
 * The whole system, which the command line loads only where it must: for `start`, and for a command on a home on
 * which no node runs, or that needs the schemas. The build makes a bundle of its own of it.
 */
export { readBorrowed } from '../actors/ssh/borrowedFiles.ts'
export { dynamicInventory } from '../actors/ssh/inventory.ts'
export { sshConfigOf, writeSshConfig } from '../actors/ssh/sshConfig.ts'

/** A system that listens nowhere, for one command of the owner, and ends afterwards. */
export function inProcess(onNote: (note: string) => void): Transport {
  return {
    where: 'this process',
    async *request({ type, ...payload }, signal) {
      const spec = commands.get(type)
      if (!spec) throw new AppError('unknown_command', { name: type })
      const given = checked(spec.schema, payload) as object
      const home = await openHome(process.env)
      for (const note of home.notes) onNote(note)
      const tap = (event: BusEvent) => {
        if (event.type === 'node.fileQuarantined') onNote(ownerLine({ ...event }) as string)
      }
      const node = await createNode({ home, listen: null, open: false, tap })
      try {
        yield* factsOf(node, { requestId: randomUUID(), ...given, type, caller: 'owner' } as Command, signal)
      } finally {
        await node.stop()
      }
    },
    events() {
      throw new AppError('no_node')
    },
  }
}

/** The facts of one request of a node in this process. Facts that were not read yet are kept, also when it fails. */
async function* factsOf(node: Node, command: Command, signal: AbortSignal): AsyncGenerator<ReceivedFact> {
  let failure: unknown
  const facts = new ReadableStream<ReceivedFact>({
    start(controller) {
      node
        .request(command, { signal, onFact: (fact) => controller.enqueue(revealed(fact) as ReceivedFact) })
        .catch((error: unknown) => {
          failure = error
        })
        .finally(() => controller.close())
    },
  })
  for await (const fact of facts) yield fact
  if (failure) throw failure
}
