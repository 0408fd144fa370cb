import { createSimulation } from '../simulation/simulation.ts'

export interface SteadyResult {
  hours: number
  nodes: number
  /** Who dropped whom when, in words; all run all the time, so none is right. */
  wrongDeaths: string[]
  suspicions: number
  agrees: boolean
  trace: string
}

/** Ordinary days with 5 % loss: nobody stops, so nobody may be declared dead. */
export function runSteady({ hours, nodes, seed = 24 }: { hours: number; nodes: number; seed?: number }): SteadyResult {
  const wrongDeaths: string[] = []
  let suspicions = 0
  const simulation = createSimulation({
    nodes,
    seed,
    converged: true,
    networkConditions: { loss: 0.05 },
    onFact(fact, node, now) {
      if (fact.type === 'record.suspected') suspicions += 1
      if (fact.type === 'record.dropped') wrongDeaths.push(`${Math.round(now)} ms: node ${node.host} drops ${fact.id}`)
    },
  })
  for (const { host } of simulation.nodes) simulation.start(host)
  simulation.runUntil(hours * 3_600_000)
  return { hours, nodes, wrongDeaths, suspicions, agrees: simulation.agrees(), trace: simulation.trace }
}
