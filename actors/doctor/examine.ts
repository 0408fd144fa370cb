import { withoutControlCharacters } from '../../client/text.ts'
import { CHECK_TIMEOUT_MS } from '../../protocol/defaults/doctor.ts'
import type { Finding } from '../../protocol/doctor.ts'
import { openScope } from '../scope.ts'
import { brokenBy, type Check, type CheckResult, type Subject, unknown } from './check.ts'
import { checkClock } from './clockCheck.ts'
import { checkDisk, checkDns, checkEngine, checkImage } from './machineChecks.ts'
import { checkPeer, type PeerResult } from './peerChecks.ts'
import { checkPort } from './portChecks.ts'
import { checkFirewall, checkPunching, checkRelay, checkRouter } from './reachChecks.ts'

/** The checks of this node, in the order in which one thing needs another. */
export const checks: readonly Check[] = [
  { name: 'disk', run: checkDisk },
  { name: 'engine', run: checkEngine },
  { name: 'image', run: checkImage },
  { name: 'DNS', run: checkDns },
  { name: 'clock', run: checkClock },
  { name: 'port', run: checkPort },
  { name: 'firewall', run: checkFirewall },
  { name: 'router', run: checkRouter },
  { name: 'punching', run: checkPunching },
  { name: 'relay', run: checkRelay },
]

/** Runs all checks side by side, and reports what they find in their order. Never rejects. */
export async function examine(
  subject: Subject,
  where: string | undefined,
  report: (finding: Finding) => void,
): Promise<Finding[]> {
  const running = checks.map(({ name, run }) =>
    bounded(subject, async (each): Promise<PeerResult[]> => [{ check: name, ...(await run(each)) }], name),
  )
  if (where !== undefined) running.push(bounded(subject, (each) => checkPeer(where, each), `to ${where}`))
  const findings: Finding[] = []
  for (const results of running) {
    for (const { check, state, what, remedy, at = Date.now() } of await results) {
      const finding = withoutControlCharacters({ check, state, what, ...(remedy && { remedy }), at })
      findings.push(finding)
      report(finding)
    }
  }
  return findings
}

/** Ends a check that takes too long, also one that does not heed its signal. */
async function bounded(
  subject: Subject,
  run: (subject: Subject) => Promise<PeerResult[]>,
  check: string,
): Promise<PeerResult[]> {
  const scope = openScope(subject.signal, CHECK_TIMEOUT_MS)
  const late = new Promise<CheckResult>((resolve) => {
    scope.signal.addEventListener('abort', () => resolve(unknown(`No result within ${CHECK_TIMEOUT_MS / 1_000} s`)))
  })
  try {
    return await Promise.race([
      run({ ...subject, signal: scope.signal }),
      late.then((result) => [{ check, ...result }]),
    ])
  } catch (error) {
    return [{ check, ...brokenBy(error) }]
  } finally {
    scope.end()
  }
}
