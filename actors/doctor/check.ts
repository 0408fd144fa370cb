import type { Bus } from '../../protocol/bus.ts'
import type { Finding } from '../../protocol/doctor.ts'
import { splitFailure, toAppError } from '../../protocol/errors.ts'
import type { BusEvent } from '../../protocol/index.ts'
import type { Peer } from '../../protocol/ipTable.ts'
import type { Endpoint } from '../../protocol/net/endpoint.ts'
import type { Reach } from '../../protocol/reachability.ts'
import type { Mapping } from '../../protocol/turnClient.ts'
import type { Engine } from '../engine/engine.ts'
import type { Dialer } from '../net/dialer.ts'
import type { Resolve } from '../net/resolve.ts'

/** What the checks examine. */
export interface Subject {
  engine: Engine
  imagesDir: string
  homeDir: string
  /** Where this node listens; port 0 if it listens nowhere. `host` is one of its own addresses. */
  listening: { host: string; port: number }
  /** The port of `config.json`, on which a node would listen. */
  configuredPort: number
  ownAddresses: readonly string[]
  bus: Bus<BusEvent>
  resolve: Resolve
  dialer: Dialer
  reach: Reach
  /** How this node itself is shown through a relay; absent while it needs none. */
  relayed: Mapping | undefined
  /** The endpoint of this node at which peers punch through to it. */
  punched: Endpoint | undefined
  isPunchingInstalled: boolean
  peers: readonly Peer[]
  signal: AbortSignal
}

/** What a check has found. `at` is now if it is absent. */
export type CheckResult = Omit<Finding, 'check' | 'at'> & { at?: number }

export interface Check {
  name: string
  run(subject: Subject): Promise<CheckResult> | CheckResult
}

export function ok(what: string, at?: number): CheckResult {
  return { state: 'ok', what, ...(at !== undefined && { at }) }
}

export function broken(what: string, remedy: string): CheckResult {
  return { state: 'broken', what, remedy }
}

export function unneeded(what: string): CheckResult {
  return { state: 'unneeded', what }
}

export function unknown(what: string): CheckResult {
  return { state: 'unknown', what }
}

/** Returns an error in two parts: what happened, and what to do. */
export function brokenBy(error: unknown): CheckResult {
  const failure = toAppError(error)
  const { what, todo } = splitFailure(failure)
  return broken(what, todo || 'Read the reason; `p2prc events` shows what happens meanwhile.')
}

/** Whether others reach this node in some way. */
export function isReached({ reach, relayed }: Pick<Subject, 'reach' | 'relayed'>): boolean {
  return reach.state === 'reachable' || relayed?.state === 'open'
}
