/**
 * The compat matrix, on the quiet copy only: every operation of both releases is tried on every committed schema state,
 * sent anew and as a statement that was prepared before the migration. Everything is rolled back.
 *
 * The same values are used on every state, so a difference is the schema's doing. EXPLAIN EXECUTE raises 0A000 ("cached
 * plan must not change result type") without executing anything.
 */
import type { CompatCell, OperationLock, Outcome, Release } from '../recording.js'
import { readRelations } from '../pg/catalog.js'
import { connect, disconnect, sendTextAsItIs, type Address, type Sql } from '../pg/connect.js'
import { toPgError } from '../pg/errors.js'
import { fromPgLocks, strength } from '../sql/lock-modes.js'
import { statementFacts } from '../sql/split.js'
import type { Operation, Variables } from '../traffic/operation.js'
import { Random } from '../traffic/random.js'
import { insideTransaction } from './rolled-back.js'

/** A probe that runs longer than this is broken off (57014): the matrix asks whether, not how fast. */
const PROBE_TIMEOUT_MS = 30_000

export interface CompatProbe {
  /** Tries everything on the present state. */
  probe(state: string): Promise<CompatCell[]>
  /** What each operation locks while it runs, on the present state. Only operations that work are listed. */
  operationLocks(): Promise<OperationLock[]>
  close(): Promise<void>
}

export interface CompatOptions {
  app: Address
  operations: readonly Operation[]
  variables: Variables
  seed: number
  settings?: Record<string, string>
}

/** Opens the probing sessions and prepares, on the state before the migration, what the operations prepare. */
export async function openCompatProbe(options: CompatOptions): Promise<CompatProbe> {
  const fresh = connect(options.app, session('fresh', options))
  let script = false
  sendTextAsItIs(fresh, () => script)
  // Read by the driver at each query: what it prepared on one state would fail on the next, and that is another column.
  fresh.options.prepare = false
  const cached = new Map<Release, Sql>()
  const prepared = new Map<string, string[]>()
  for (const release of ['old', 'new'] as const) {
    const sql = connect(options.app, session(`prepared ${release}`, options))
    cached.set(release, sql)
    for (const [index, operation] of options.operations.entries()) {
      if (operation.release !== release || !operation.prepared || operation.kind !== 'script') continue
      const names: string[] = []
      for (const [part, text] of operation.statementTexts.entries()) {
        const name = `rehearse_${index}_${part}`
        try {
          await sql.unsafe(`prepare ${name} as ${text}`).simple()
          names.push(name)
        } catch {
          // It does not work on the old schema at all: the fresh column says so.
          names.length = 0
          break
        }
      }
      prepared.set(key(operation), names)
    }
  }

  const tryOnce = (operation: Operation, beforeRollback?: () => Promise<void>): Promise<Outcome> => {
    script = operation.kind === 'script'
    return runRolledBack(fresh, operation, options, beforeRollback)
  }

  const probe = async (state: string): Promise<CompatCell[]> => {
    const cells: CompatCell[] = []
    for (const operation of options.operations) {
      const names = prepared.get(key(operation)) ?? []
      const session = cached.get(operation.release)
      cells.push({
        release: operation.release,
        operation: operation.name,
        state,
        fresh: await tryOnce(operation),
        prepared: names.length > 0 && session ? await explainPrepared(session, operation, names) : null,
      })
    }
    return cells
  }

  return {
    probe,
    async operationLocks() {
      const found: OperationLock[] = []
      const relations = await readRelations(fresh)
      for (const operation of options.operations) {
        const held: { oid: number; mode: string }[] = []
        await tryOnce(operation, async () => {
          held.push(
            ...(await fresh.unsafe<{ oid: number; mode: string }[]>(
              `select relation::bigint::float8 as oid, mode from pg_catalog.pg_locks
                where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted and relation >= 16384`,
            )),
          )
        })
        const strongest = new Map<string, OperationLock>()
        for (const { oid, mode: name } of held) {
          const relation = relations.get(oid)
          const mode = fromPgLocks(name)
          if (!relation || !mode) continue
          const known = strongest.get(relation.name)
          if (known && strength(known.mode) >= strength(mode)) continue
          strongest.set(relation.name, {
            release: operation.release,
            operation: operation.name,
            relation: relation.name,
            kind: relation.kind,
            table: relation.table,
            mode,
          })
        }
        found.push(...strongest.values())
      }
      return found
    },
    async close() {
      await Promise.all([fresh, ...cached.values()].map(disconnect))
    },
  }
}

const key = (operation: Operation): string => `${operation.release} ${operation.name}`

const session = (
  name: string,
  options: CompatOptions,
): { applicationName: string; settings: Record<string, string> } => ({
  applicationName: `rehearse probe ${name}`,
  settings: { ...options.settings, statement_timeout: String(PROBE_TIMEOUT_MS) },
})

/**
 * Runs the operation in BEGIN ... SET CONSTRAINTS ALL IMMEDIATE, ROLLBACK: deferred constraints fail here as they would
 * at COMMIT. Its own transaction statements are left out.
 */
async function runRolledBack(
  sql: Sql,
  operation: Operation,
  options: CompatOptions,
  beforeRollback?: () => Promise<void>,
): Promise<Outcome> {
  const random = new Random(options.seed).fork(`probe ${key(operation)}`)
  let outcome: Outcome = { ok: true }
  await sql.unsafe('begin').simple()
  try {
    if (operation.kind === 'code') await operation.run(insideTransaction(sql), random, options.variables)
    else
      for (const step of operation.bind(options.variables, random)) {
        if (step.kind !== 'statement' || statementFacts(step.bound.text).transaction !== null) continue
        await sql.unsafe(step.bound.text, step.bound.params, { prepare: false })
      }
    await sql.unsafe('set constraints all immediate').simple()
    await beforeRollback?.()
  } catch (error) {
    outcome = { ok: false, error: toPgError(error) }
  }
  await sql.unsafe('rollback').simple()
  return outcome
}

/** NULL for every parameter: planning needs their number, not their values. */
async function explainPrepared(sql: Sql, operation: Operation, names: readonly string[]): Promise<Outcome> {
  const texts = operation.kind === 'script' ? operation.statementTexts : []
  let outcome: Outcome = { ok: true }
  for (const [index, name] of names.entries()) {
    const parameters = Math.max(0, ...[...(texts[index] ?? '').matchAll(/\$(\d+)/g)].map((match) => Number(match[1])))
    const list = parameters > 0 ? `(${Array<string>(parameters).fill('null').join(', ')})` : ''
    await sql.unsafe('begin').simple()
    try {
      await sql.unsafe(`explain execute ${name}${list}`).simple()
    } catch (error) {
      if (outcome.ok) outcome = { ok: false, error: toPgError(error) }
    }
    await sql.unsafe('rollback').simple()
  }
  return outcome
}
