import { AppError, exitCodeOf, toAppError } from '../protocol/errors.ts'
import { type Call, confirmAction, type Handler, mustConfirm } from './runCommand.ts'
import * as show from './tables.ts'

/** The handlers of the commands that list borrowed containers and return them. */
export const loanCommands = {
  async ps({ option, request, terminal }) {
    const where = option('on')
    if (where !== undefined) {
      const { held } = await request({ type: 'loan.listHeld', where })
      terminal.value({ Held: held }, () => show.heldTable(held, where, terminal.style))
      return
    }
    const { loans } = await request({ type: 'loan.list' })
    const document = { TrackContainer: loans.map(({ state, ...loan }) => ({ ...loan, State: state })) }
    terminal.value(document, () => show.loansTable(loans, terminal.style))
  },

  async rm(call) {
    const { args, legacy, option, request, terminal } = call
    const [forget, where] = [call.has('forget'), option('on')]
    if (!legacy) mustConfirm(`Deleting ${args.join(', ')} with /data`, call)
    // A script for Go P2PRC has named one container by its id, and may name one of a Go node, which cannot list them.
    const found = legacy ? args.map((id) => ({ id, lender: '' })) : await lookUp(call)
    if (!legacy && !(await confirmReturn(found, call))) return 1
    const [returned, failures]: [string[], AppError[]] = [[], []]
    for (const { id } of found) {
      try {
        returned.push((await request({ type: 'loan.return', id, forget, ...(where && { where }) })).id)
      } catch (error) {
        if (found.length === 1 || call.signal.aborted) throw error
        failures.push(toAppError(error))
        terminal.note(`${show.shortId(id)}: ${toAppError(error).message}`)
      }
    }
    if (returned.length > 0) {
      const text = `${forget ? 'Forgot' : 'Returned'} ${returned.map(show.shortId).join(', ')}`
      terminal.done(found.length === 1 ? { ID: returned[0] } : { Returned: returned }, text, legacy)
    }
    return failures.map(({ code }) => exitCodeOf(code)).reduce((worst, code) => Math.max(worst, code), 0) || undefined
  },
} satisfies Record<string, Handler>

/** A container that a word of the command line names, and what the question calls its lender. */
interface Named {
  id: string
  lender: string
}

/**
 * Looks up every word before anything is deleted, and returns each container once. Throws `not_found` or `ambiguous` for
 * the first word that names none or several.
 */
async function lookUp({ args, option, request }: Call): Promise<Named[]> {
  const where = option('on')
  const held = where === undefined ? [] : (await request({ type: 'loan.listHeld', where })).held
  const found = new Map<string, Named>()
  for (const word of args) {
    const { id, lender } = where === undefined ? await findTracked(word, request) : findHeld(word, held, where)
    found.set(id, { id, lender })
  }
  return [...found.values()]
}

async function findTracked(word: string, request: Call['request']): Promise<Named> {
  try {
    const { loan } = await request({ type: 'loan.find', id: word })
    return { id: loan.ID, lender: loan.IpAddress }
  } catch (error) {
    const { code } = toAppError(error)
    if (code !== 'not_found' && code !== 'bad_request') throw error
    const todo = 'Every word is an id, see `p2prc ps`; a machine is named with --on WHERE. Nothing was deleted.'
    throw new AppError('not_found', { kind: 'borrowed container', id: word, todo }, error)
  }
}

function findHeld(word: string, held: readonly { id: string }[], where: string): Named {
  const matches = held.filter(({ id }) => id.startsWith(word))
  const [first] = matches
  if (first && matches.length === 1) return { id: first.id, lender: where }
  const todo = `See \`p2prc ps --on ${where}\`. Nothing was deleted.`
  const kind = `container of yours on ${where}`
  if (!first) throw new AppError('not_found', { kind, id: word, todo })
  throw new AppError('ambiguous', { kind, id: word, matches: matches.map(({ id }) => show.shortId(id)).join(', ') })
}

function confirmReturn(found: readonly Named[], call: Call): Promise<boolean> {
  const names = found.map(({ id, lender }) => `${show.shortId(id)} on ${lender}`).join(', ')
  const [subject, its] = found.length === 1 ? [`container ${names}`, 'its'] : [`containers ${names}`, 'their']
  return confirmAction(`Deleting ${subject} and ${its} /data`, call, `This deletes ${subject} and ${its} /data. Go on?`)
}
