/** Tries derived operations on a database like the one that they will meet, and leaves out what does not work there. */
import type { Sql } from '../../pg/connect.js'
import { sendTextAsItIs } from '../../pg/connect.js'
import { isConnectionFailure, toPgError } from '../../pg/errors.js'
import { statementFacts } from '../../sql/split.js'
import { CannotMake } from '../../values/types.js'
import type { ScriptOperation, Variables } from '../operation.js'
import { Random } from '../random.js'
import type { LeftOut } from './types.js'

export interface VerifyOptions {
  seed: number
  variables: Variables
  /** Of each operation that writes; reads are tried a quarter as often. 12 unless given. */
  tries?: number
}

export interface Verified<Kept> {
  operations: Kept[]
  leftOut: LeftOut[]
}

const TRIES = 12
/** An operation that failed seldom is tried this many times as often before it is judged. */
const AGAIN = 4
const MOST_FAILURES = 0.05
const TIMEOUT = '5s'

/**
 * Runs every operation some times, each rolled back, with deferred constraints checked as at COMMIT. One that fails in
 * more than 5 % of its tries is left out with its most frequent error. `sql` is one session of the application's role.
 * Throws what the driver throws when the connection is lost.
 */
export async function verifyOperations<Kept extends ScriptOperation>(
  sql: Sql,
  operations: readonly Kept[],
  { seed, variables, tries = TRIES }: VerifyOptions,
): Promise<Verified<Kept>> {
  let trying = true
  sendTextAsItIs(sql, () => trying)
  const kept: Kept[] = []
  const leftOut: LeftOut[] = []
  try {
    for (const operation of operations) {
      const random = new Random(seed).fork(`verify ${operation.name}`)
      const failures = new Map<string, number>()
      let done = 0
      let failed = 0
      let most = isRead(operation) ? Math.ceil(tries / 4) : tries
      while (done < most) {
        const error = await tryOnce(sql, operation, variables, random.fork(done++))
        if (error === null) continue
        failures.set(error, (failures.get(error) ?? 0) + 1)
        failed++
        // Hopeless, or rare enough to be looked at more closely.
        if (failed === done && done >= 3) break
        if (failed < done && most <= tries) most = tries * AGAIN
        if (failed > most * MOST_FAILURES && most > tries) break
      }
      if (failed === 0 || (failed < done && failed <= done * MOST_FAILURES)) kept.push(operation)
      else {
        const [reason] = [...failures].sort((a, b) => b[1] - a[1])[0] ?? ['']
        leftOut.push({ what: operation.name, calls: null, reason: `failed in ${failed} of ${done} tries: ${reason}` })
      }
    }
  } finally {
    trying = false
  }
  return { operations: kept, leftOut }
}

const isRead = ({ statementTexts }: ScriptOperation): boolean =>
  statementTexts.every((text) => text.startsWith('select '))

/** What went wrong in plain words without any value, or null. */
async function tryOnce(
  sql: Sql,
  operation: ScriptOperation,
  variables: Variables,
  random: Random,
): Promise<string | null> {
  let steps
  try {
    steps = operation.bind(variables, random)
  } catch (error) {
    if (error instanceof CannotMake) return error.reason
    throw error
  }
  // All at once on one session: the server answers in order, and after an error refuses what follows until ROLLBACK.
  const sent: Promise<unknown>[] = [sql.unsafe(`begin; set local statement_timeout = '${TIMEOUT}'`).simple().execute()]
  for (const step of steps)
    if (step.kind === 'statement' && statementFacts(step.bound.text).transaction === null)
      sent.push(sql.unsafe(step.bound.text, step.bound.params, { prepare: true }).execute())
  sent.push(sql.unsafe('set constraints all immediate').simple().execute())
  sent.push(sql.unsafe('rollback').simple().execute())
  const settled = await Promise.allSettled(sent)
  const first = settled.find((result) => result.status === 'rejected')
  if (first === undefined) return null
  const error: unknown = first.reason
  if (isConnectionFailure(error)) throw error
  const { sqlstate, message } = toPgError(error)
  return `${sqlstate} ${message}`
}
