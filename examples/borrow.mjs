// Borrows a machine, runs a command on it over SSH, and gives it back: `node examples/borrow.mjs 192.0.2.7 uname -a`.
// A node of yours has to run (`p2prc start`), and the lender has to trust it.
import { spawnSync } from 'node:child_process'
import { AppError, connect, controlSocket } from 'p2prc/client'

const [where = '', ...command] = process.argv.slice(2)
const client = connect({ transport: controlSocket() })
try {
  const taking = client.request({ type: 'loan.take', where })
  for await (const fact of taking) if (fact.type === 'loan.progress') console.error(fact.line)
  const { loan } = await taking.answer
  console.log(loan.Container.SSHCommand)
  try {
    const { sshArgs } = await client.request({ type: 'loan.find', id: loan.ID }).answer
    const { status } = spawnSync('ssh', [...sshArgs, ...command], { stdio: 'inherit' })
    process.exitCode = status ?? 1
  } finally {
    await client.request({ type: 'loan.return', id: loan.ID }).answer
  }
} catch (error) {
  console.error(error instanceof AppError ? error.message : error)
  process.exitCode = 1
}
