/**
 * Which tables a statement that failed had locked: its transaction is gone and cannot be asked, and it may have been too
 * short to be seen. Quiet copy only. Another session holds SHARE UPDATE EXCLUSIVE on every table, so the
 * statement stops at the first lock of that strength or more, where pg_locks shows what it asks for; it is cancelled,
 * the table is let go, and it is tried again until it stops nowhere any more. Weaker locks (of reads and writes) pass.
 */
import type { LockMode } from '../recording.js'
import type { RelationState } from '../pg/catalog.js'
import { connect, disconnect, type Address, type Sql } from '../pg/connect.js'
import { fromPgLocks } from '../sql/lock-modes.js'

export interface TrapOptions {
  admin: Address
  migrate: Address
  relations: ReadonlyMap<number, RelationState>
  /** Statements that run before it in the same transaction; without a transaction there are none. */
  before: readonly string[]
  inTransaction: boolean
  sql: string
}

export interface Trapped {
  oid: number
  mode: LockMode
}

/** Tables that one statement can lock; more than these are not looked for. */
const MOST_TABLES = 25
/** A statement that stops nowhere for so long is working. */
const PATIENCE_MS = 2_000

export async function trapLocks(options: TrapOptions): Promise<Trapped[]> {
  const found: Trapped[] = []
  const trap = connect(options.admin, { applicationName: 'rehearse lock trap' })
  const watch = connect(options.admin, { applicationName: 'rehearse lock watch' })
  const victim = connect(options.migrate, { applicationName: 'rehearse migration again' })
  try {
    const pid = (await victim<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid ?? 0
    for (let round = 0; round < MOST_TABLES; round++) {
      if (options.inTransaction) await victim.unsafe('begin').simple()
      let ready = true
      for (const sql of options.before) {
        ready = await victim
          .unsafe(sql)
          .simple()
          .then(
            () => true,
            () => false,
          )
        if (!ready) break
      }
      if (ready) await set(trap, options.relations, found)
      const stopped = ready ? await stopsAt(victim, watch, pid, options.sql) : null
      await trap.unsafe('rollback').simple()
      if (options.inTransaction) await victim.unsafe('rollback').simple()
      if (stopped === null || found.some((lock) => lock.oid === stopped.oid)) break
      found.push(stopped)
    }
    return found
  } finally {
    await Promise.all([trap, watch, victim].map(disconnect))
  }
}

/** Holds every table but the ones that are known already and the ones that the transaction itself holds. */
async function set(trap: Sql, relations: ReadonlyMap<number, RelationState>, known: readonly Trapped[]): Promise<void> {
  await trap.unsafe('begin').simple()
  for (const relation of relations.values()) {
    if (relation.kind !== 'table' || known.some((lock) => lock.oid === relation.oid)) continue
    await trap.unsafe('savepoint one').simple()
    try {
      const schema = relation.name === relation.bare ? 'public' : relation.name.slice(0, -relation.bare.length - 1)
      // ONLY: a partitioned table must not bring its partitions, one of which may be let go already.
      await trap`lock table only ${trap(schema)}.${trap(relation.bare)} in share update exclusive mode nowait`
    } catch {
      await trap.unsafe('rollback to savepoint one').simple()
    }
  }
}

/** Runs the statement and cancels it where it stops; null when it ended (or worked on) without stopping. */
async function stopsAt(victim: Sql, watch: Sql, pid: number, sql: string): Promise<Trapped | null> {
  const state = { over: false }
  const running = victim
    .unsafe(sql)
    .simple()
    .then(
      () => undefined,
      () => undefined,
    )
    .then(() => (state.over = true))
  let stopped: Trapped | null = null
  const endMs = performance.now() + PATIENCE_MS
  while (!state.over && stopped === null && performance.now() < endMs) {
    const rows = await watch<{ oid: number; mode: string }[]>`
      select relation::bigint::float8 as oid, mode from pg_catalog.pg_locks
       where pid = ${pid} and locktype = 'relation' and not granted`
    const mode = rows[0] ? fromPgLocks(rows[0].mode) : null
    if (rows[0] && mode) stopped = { oid: rows[0].oid, mode }
  }
  if (!state.over) await watch`select pg_cancel_backend(${pid})`
  await running
  return stopped
}
