import { randomUUID } from 'node:crypto'
import { createRequire } from 'node:module'
import { fromCallback } from 'xstate'
import { doctorMachine, type ExamineInput, type FromExamine } from '../machines/doctor.ts'
import { type Endpoint, isPunched } from '../protocol/net/endpoint.ts'
import type { Reach } from '../protocol/reachability.ts'
import type { Subject } from './doctor/check.ts'
import { examine } from './doctor/examine.ts'
import { listPeers } from './net/listPeers.ts'
import { request } from './request.ts'
import { openScope } from './scope.ts'
import type { ConcernParts } from './supervise.ts'

export interface DoctorDependencies
  extends Pick<Subject, 'engine' | 'imagesDir' | 'homeDir' | 'configuredPort' | 'bus' | 'resolve' | 'dialer'> {
  listening: () => Subject['listening']
  ownAddresses: () => readonly string[]
}

/** Creates the concern that examines this node when its owner asks, and says what is the first thing that does not work. */
export function createDoctor(dependencies: DoctorDependencies): ConcernParts<typeof doctorMachine> {
  return {
    name: 'doctor',
    logic: doctorMachine.provide({
      actors: {
        examine: fromCallback<{ type: 'none' }, ExamineInput, FromExamine>(({ input, sendBack }) => {
          const { requestId, where } = input.command
          const { signal, end } = openScope(input.signal)
          subjectOf(dependencies, input.endpoints, signal)
            .then((subject) =>
              examine(subject, where, (finding) => sendBack({ type: 'check.ended', requestId, finding })),
            )
            .then((findings) => sendBack({ type: 'examination.ended', requestId, findings }))
          return end
        }),
      },
    }),
    input: (signal, retained) => ({
      endpoints: retained['table.selfAddressesChanged']?.endpoints ?? [],
      signal,
    }),
    retains: ['table.selfAddressesChanged'],
  }
}

const nothingKnown: Reach = { state: 'unknown', endpoints: [], mapping: { state: 'unneeded', since: 0 } }

/** Collects what the other concerns know. What one of them does not say in time counts as unknown. */
async function subjectOf(
  { listening, ownAddresses, ...dependencies }: DoctorDependencies,
  endpoints: readonly Endpoint[],
  signal: AbortSignal,
): Promise<Subject> {
  const { bus } = dependencies
  const meta = () => ({ requestId: randomUUID(), caller: 'owner' }) as const
  const [reach, relayed, peers] = await Promise.all([
    request(bus, { type: 'reach.show', ...meta() }, { signal }).then(
      (fact) => (fact.type === 'reach.shown' ? fact : nothingKnown),
      () => nothingKnown,
    ),
    request(bus, { type: 'port.showNode', ...meta() }, { signal }).then(
      (fact) => (fact.type === 'port.nodeShown' ? fact.mapping : undefined),
      () => undefined,
    ),
    listPeers(bus, signal).catch(() => []),
  ])
  return {
    ...dependencies,
    listening: listening(),
    ownAddresses: ownAddresses(),
    reach,
    relayed,
    punched: endpoints.find(isPunched),
    isPunchingInstalled: isInstalled('hyperdht'),
    peers,
    signal,
  }
}

/** Whether a package is there. It is not loaded. */
function isInstalled(name: string): boolean {
  try {
    return createRequire(import.meta.filename).resolve(name) !== ''
  } catch {
    return false
  }
}
