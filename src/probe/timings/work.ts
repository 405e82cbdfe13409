/** What is timed: the operations, each with the values that both copies get, in the same order. */
import { statementFacts } from '../../sql/facts.js'
import type { Sql } from '../../pg/connect.js'
import type { BoundStatement, Operation, Variables } from '../../traffic/operation.js'
import { Random } from '../../traffic/random.js'

/** One run of an operation, its values drawn. In memory only. */
export type Execution =
  | { kind: 'script'; prepared: boolean; statements: readonly BoundStatement[] }
  | { kind: 'code'; run: (sql: Sql) => Promise<unknown> }

/** Operations that do the very same thing, such as those of two releases, are measured once. */
export interface Work {
  operations: readonly Operation[]
  prepared: boolean
  /** The values of run number so many, the same at every call. */
  execution(index: number): Execution
}

/** Runs by which two operations are told apart: a different range shows in as many draws. */
const DRAWS = 5

/**
 * The operations in the order in which they are to be timed: those on tables that the migration touched first, and the
 * heavier ones first among equals. `touches` says whether an operation uses such a table.
 */
export function workOf(
  operations: readonly Operation[],
  variables: Variables,
  seed: number,
  touches: (operation: Operation) => boolean,
): { works: Work[]; failed: { operation: Operation; error: unknown }[] } {
  const groups = new Map<string, Operation[]>()
  const failed: { operation: Operation; error: unknown }[] = []
  const rank = (operation: Operation): number => Number(touches(operation))
  const sorted = [...operations].sort((a, b) => rank(b) - rank(a) || b.weight - a.weight)
  for (const [index, operation] of sorted.entries()) {
    let key = `code ${index}`
    if (operation.kind === 'script')
      try {
        const drawn = Array.from({ length: DRAWS }, (_, i) => executionOf(operation, variables, seed, i))
        key = JSON.stringify([operation.prepared, drawn])
      } catch (error) {
        // An expression that cannot be computed.
        failed.push({ operation, error })
        continue
      }
    const group = groups.get(key)
    if (group) group.push(operation)
    else groups.set(key, [operation])
  }
  const works = [...groups.values()].flatMap((group): Work[] => {
    const [first] = group
    if (!first) return []
    return [
      {
        operations: group,
        prepared: first.prepared,
        execution: (index) => executionOf(first, variables, seed, index),
      },
    ]
  })
  return { works, failed }
}

/** The operation's own transaction statements and its pauses are left out: each run is a transaction of ours. */
function executionOf(operation: Operation, variables: Variables, seed: number, index: number): Execution {
  const random = new Random(seed).fork(`timing ${index}`)
  if (operation.kind === 'code') {
    // The stream is begun anew with every run: the same values each time.
    const label = `timing ${operation.name} ${index}`
    return { kind: 'code', run: (sql) => operation.run(sql, new Random(seed).fork(label), variables) }
  }
  const statements = operation
    .bind(variables, random)
    .flatMap((step) => (step.kind === 'statement' && !controls(step.bound.text) ? [step.bound] : []))
  return { kind: 'script', prepared: operation.prepared, statements }
}

const known = new Map<string, boolean>()
const MOST_KNOWN = 5_000

/** BEGIN, COMMIT and ROLLBACK. Parsed once per text; one with the values inside is another text each time. */
function controls(text: string): boolean {
  const before = known.get(text)
  if (before !== undefined) return before
  let found = false
  try {
    const { transaction } = statementFacts(text)
    found = transaction !== null && transaction !== 'other'
  } catch {
    // The server will say what is wrong with it.
  }
  if (known.size >= MOST_KNOWN) known.clear()
  known.set(text, found)
  return found
}
