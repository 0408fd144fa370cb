import { connect } from '../client/client.ts'
import type { AnswerOf, AnswerType, CommandInput, CommandType, FactOf, NodeEvent } from '../client/types.ts'
import { AppError } from '../protocol/errors.ts'
import { homeTransport } from './homeTransport.ts'

export type { ReceivedFact } from '../client/transport.ts'

export interface RequestOptions<T extends CommandType> {
  /** Every fact that echoes the request, the finishing one included. */
  onFact?: (fact: FactOf<T>) => void
  signal?: AbortSignal
  /** Told what the owner should hear about the home, such as a file that was quarantined. */
  onNote?: (note: string) => void
}

/** What a command says, without what its schema fills in. */
export type Payload<T extends CommandType> = Omit<CommandInput<T>, 'type'>

export async function request<T extends CommandType>(
  type: T,
  payload: Payload<T>,
  _expected: AnswerType<T>,
  { onFact, signal, onNote }: RequestOptions<T> = {},
): Promise<AnswerOf<T>> {
  const client = connect({ transport: homeTransport(onNote) })
  const pending = client.request({ ...payload, type } as CommandInput<T>, { signal })
  try {
    for await (const fact of pending) onFact?.(fact)
    return await pending.answer
  } catch (error) {
    throw signal?.aborted ? new AppError('interrupted') : error
  }
}

export async function followNodeEvents(onEvent: (event: NodeEvent) => void, signal: AbortSignal): Promise<void> {
  for await (const event of connect({ transport: homeTransport() }).events({ signal })) onEvent(event)
}
