import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import PQueue from 'p-queue'
import { CONCURRENT_EXECS_MAX, SSH_CONNECT_TIMEOUT_S } from '../../protocol/defaults/groupTracker.ts'
import type { Loan } from '../../protocol/groupTracker.ts'
import { lacksHostKey, type SshFiles, sshArgs, withAcceptedKey } from '../../protocol/ssh.ts'

/**
 * Resolves with the loans, each with its host key. Where the record has none and ssh has accepted none yet, ssh connects
 * once and accepts it: Mitogen only connects to servers whose key is known. A loan whose server does not answer has none.
 */
export async function acceptHostKeys(loans: readonly Loan[], files: SshFiles, signal: AbortSignal): Promise<Loan[]> {
  if (!loans.some(lacksHostKey)) return [...loans]
  const accepted = async () => {
    const text = await readFile(files.acceptedHosts, 'utf8').catch(() => '')
    return loans.map((loan) => withAcceptedKey(loan, text))
  }
  const queue = new PQueue({ concurrency: CONCURRENT_EXECS_MAX })
  await queue.addAll((await accepted()).filter(lacksHostKey).map((loan) => () => connectOnce(loan, files, signal)))
  return accepted()
}

/** Resolves also if the connection fails, because Ansible then reports why. */
function connectOnce(loan: Loan, files: SshFiles, signal: AbortSignal): Promise<void> {
  const options = ['-o', 'BatchMode=yes', '-o', `ConnectTimeout=${SSH_CONNECT_TIMEOUT_S}`]
  return new Promise((resolve) => {
    execFile('ssh', [...options, ...sshArgs(loan, files), 'true'], { signal }, () => resolve())
  })
}
