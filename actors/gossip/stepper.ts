import { fromCallback } from 'xstate'
import type { GossipEvent, GossipState } from '../../machines/gossip/gossipState.ts'
import { stepGossip } from '../../machines/gossip/gossipStep.ts'
import { isActive } from '../../machines/gossip/linkPhase.ts'
import type { FromStepper, StepperInput, ToStepper, Untimed } from '../../machines/gossip.ts'
import { GOSSIP_REPORT_INTERVAL_MS } from '../../protocol/defaults/gossip.ts'
import { openTransport, type TransportOptions } from './transport.ts'

/**
 * Creates the actor that steps with every event of the sockets and applies the effects to them. It does so without the
 * machine, because an event of a machine takes five times as long as an average step, and an idle node steps three times a second.
 */
export function createStepper(options: TransportOptions) {
  const { now = () => performance.now() } = options
  return fromCallback<ToStepper, StepperInput, FromStepper>(({ input, sendBack, receive }) => {
    const { tools, signal } = input
    const queue: GossipEvent[] = []
    let state = input.state
    let reportedPhase = phaseOf(state)
    let reportedAt = now()
    let isStepping = false

    const transport = openTransport(options, { signal, onEvent })

    function onEvent(event: Untimed): void {
      queue.push({ ...event, at: now() } as GossipEvent)
      // An effect may cause the next event at once, such as a socket that closes when it is written to.
      if (isStepping) return
      isStepping = true
      try {
        for (let next = queue.shift(); next; next = queue.shift()) step(next)
        isStepping = false
      } catch (error) {
        // Its effects may be half applied, so that this was the last step.
        if (!signal.aborted) sendBack({ type: 'stepFailed', error })
      }
    }

    function step(event: GossipEvent): void {
      const { state: next, effects } = stepGossip(state, event, tools)
      state = next
      transport.wake(state.dueAt)
      const facts = effects.flatMap((effect) => (effect.type === 'emit' ? [effect.fact] : []))
      const phase = phaseOf(state)
      if (facts.length > 0 || phase !== reportedPhase || event.at - reportedAt >= GOSSIP_REPORT_INTERVAL_MS) {
        reportedPhase = phase
        reportedAt = event.at
        if (!signal.aborted) sendBack({ type: 'stepped', state, facts })
      }
      for (const effect of effects) {
        if (effect.type === 'send') transport.send(effect.link, effect.message)
        else if (effect.type === 'close') transport.close(effect.link)
        else if (effect.type === 'dial') transport.dial(effect)
      }
    }

    transport.wake(state.dueAt)
    receive(({ event }) => onEvent(event))
    return transport.end
  })
}

/** What the state of the machine follows from. */
function phaseOf({ left, links }: GossipState): 'left' | 'connected' | 'isolated' {
  if (left) return 'left'
  return links.values().some(isActive) ? 'connected' : 'isolated'
}
