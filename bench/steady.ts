import { createSimulation } from '../simulation/simulation.ts'

export interface SteadyResult {
  hours: number
  nodes: number
  /** A line for each member that was dropped. All nodes run all the time, so each is a false positive. */
  falsePositives: string[]
  suspicions: number
  agrees: boolean
  trace: string
}

/** Simulates nodes that all keep running while 5 % of their messages are lost. */
export function runSteady({ hours, nodes, seed = 24 }: { hours: number; nodes: number; seed?: number }): SteadyResult {
  const falsePositives: string[] = []
  let suspicions = 0
  const simulation = createSimulation({
    nodes,
    seed,
    converged: true,
    networkConditions: { loss: 0.05 },
    onFact(fact, node, now) {
      if (fact.type === 'record.suspected') suspicions += 1
      if (fact.type === 'record.dropped')
        falsePositives.push(`${Math.round(now)} ms: node ${node.host} drops ${fact.id}`)
    },
  })
  for (const { host } of simulation.nodes) simulation.start(host)
  simulation.runUntil(hours * 3_600_000)
  return { hours, nodes, falsePositives, suspicions, agrees: simulation.agrees(), trace: simulation.trace }
}
