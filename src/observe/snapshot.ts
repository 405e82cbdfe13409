/**
 * What can be known at one instant between two statements: asked of the migration's own session while it stands still, or
 * told by the server's own looks.
 */
import type { LockMode } from '../recording.js'
import { readRelations, toRelations, type RelationState } from '../pg/catalog.js'
import type { Asked, Sql } from '../pg/connect.js'
import { fromPgLocks } from '../sql/lock-modes.js'
import type { NoticeStamp } from '../migrations/session.js'
import { LookReader } from './looks.js'

export interface Held {
  oid: number
  mode: LockMode
}

export interface Snapshot {
  relations: Map<number, RelationState>
  held: Held[]
  wal: number
  /** Transactions that the session has begun so far (the local part of its virtual transaction id). */
  begun: number
  lockTimeoutMs: number
  statementTimeoutMs: number
  notices: number
}

/** Asks the session; outside a transaction its counters are flushed and read by the observer. */
export async function takeSnapshot(
  {
    session,
    observer,
    notices,
  }: { readonly session: Asked; readonly observer: Sql; readonly notices: readonly NoticeStamp[] },
  inTransaction: boolean,
): Promise<Snapshot> {
  if (!inTransaction) await session.ask('select pg_catalog.pg_stat_force_next_flush()')
  // Of the session's own questions, the last one before the statement and the second one after it.
  const settings = await session.ask<{ name: string; setting: string; begun: string | null }>(
    `select name, setting,
            (select split_part(virtualxid, '/', 2) from pg_catalog.pg_locks
              where pid = pg_catalog.pg_backend_pid() and locktype = 'virtualxid' and virtualxid = virtualtransaction) as begun
       from pg_catalog.pg_settings where name in ('lock_timeout', 'statement_timeout')`,
  )
  const setting = (name: string): number => Number(settings.find((row) => row.name === name)?.setting ?? 0)
  // A short statement_timeout of the migration's must not hit our own questions: it would abort its transaction.
  const guarded = inTransaction && setting('statement_timeout') !== 0
  if (guarded) await session.ask('set local statement_timeout = 0')
  const relations = inTransaction
    ? await readRelations(session, 'transaction')
    : await readRelations(observer, 'flushed')
  const held = inTransaction
    ? await session.ask<{ oid: number; mode: string }>(
        `select relation::bigint::float8 as oid, mode from pg_catalog.pg_locks
          where pid = pg_catalog.pg_backend_pid() and locktype = 'relation' and granted and relation >= 16384`,
      )
    : []
  if (guarded) await session.ask(`set local statement_timeout = ${setting('statement_timeout')}`)
  const server = await observer.unsafe<{ wal: string }[]>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::text as wal`,
  )
  return {
    relations,
    held: modesOf(held),
    wal: Number(server[0]?.wal ?? 0),
    begun: Number(settings[0]?.begun ?? 0),
    lockTimeoutMs: setting('lock_timeout'),
    statementTimeoutMs: setting('statement_timeout'),
    notices: notices.length,
  }
}

/** The server's own looks since a snapshot, in order. */
export function looksSince(notices: readonly NoticeStamp[], before: Snapshot): (Snapshot & { event: string })[] {
  const reader = new LookReader()
  return notices.slice(before.notices).flatMap(({ message }, index) => {
    const look = reader.read(message)
    if (!look) return []
    const { event, relations, held, wal, lockTimeoutMs, statementTimeoutMs } = look
    return [
      {
        event,
        relations: toRelations(relations),
        held: modesOf(held),
        wal,
        begun: 0,
        lockTimeoutMs,
        statementTimeoutMs,
        notices: before.notices + index,
      },
    ]
  })
}

const modesOf = (rows: readonly { oid: number; mode: string }[]): Held[] =>
  rows.flatMap((row) => {
    const mode = fromPgLocks(row.mode)
    return mode ? [{ oid: row.oid, mode }] : []
  })
