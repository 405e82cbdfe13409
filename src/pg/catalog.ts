/** The catalog as the observers need it: every user relation with its kind, owner table, storage and counters. */
import type { RelationKind } from '../recording.js'
import { asked, type Asked, type Sql } from './connect.js'

export interface RelationState {
  oid: number
  /** `table`, or `schema.table` outside `public`. */
  name: string
  bare: string
  kind: RelationKind
  /** Name of the table that an index or TOAST relation belongs to; its own name otherwise. */
  table: string
  tableOid: number
  filenode: number
  /** -1 when not known, because another session has the relation for itself. */
  bytes: number
  /** pg_class.reltuples; -1 when never analysed. */
  rows: number
  seqRead: number
  inserted: number
  updated: number
  deleted: number
}

/**
 * `transaction`: counters of the asking session's current transaction (pg_stat_get_xact_*), exact.
 * `flushed`: the cumulative counters; the session that worked must have flushed its own before.
 */
export type Counters = 'transaction' | 'flushed'

const kinds: Record<string, RelationKind> = {
  r: 'table',
  p: 'table',
  f: 'other',
  i: 'index',
  I: 'index',
  S: 'sequence',
  v: 'view',
  m: 'materialized view',
  t: 'toast',
}

/** pg_relation_size asks for ACCESS SHARE: two sessions of one tool that ask about each other's tables would deadlock. */
const LOCKED_BY_OTHERS = `
  select l.relation from pg_catalog.pg_locks l
   where l.mode = 'AccessExclusiveLock' and l.locktype = 'relation' and l.pid <> pg_catalog.pg_backend_pid()`

/** The query behind `readRelations`, for who asks it in another way. */
export const relationsQuery = (counters: Counters): string => {
  const get = counters === 'transaction' ? 'pg_catalog.pg_stat_get_xact_tuples_' : 'pg_catalog.pg_stat_get_tuples_'
  const counter = (name: string): string =>
    `case when c.relkind in ('r', 'm', 't') then ${get}${name}(c.oid) else 0 end::float8`
  return `
    select c.oid::bigint::float8 as oid, n.nspname as schema, c.relname as relname, c.relkind::text as relkind,
           c.relfilenode::bigint::float8 as filenode, c.reltuples::float8 as reltuples,
           coalesce(i.indrelid, t.oid, c.oid)::bigint::float8 as table_oid,
           case when c.oid in (${LOCKED_BY_OTHERS}) then -1
                else coalesce(pg_catalog.pg_relation_size(c.oid), 0) end::float8 as bytes,
           ${counter('returned')} as seq_read, ${counter('inserted')} as inserted,
           ${counter('updated')} as updated, ${counter('deleted')} as deleted
      from pg_catalog.pg_class c
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
      left join pg_catalog.pg_index i on i.indexrelid = c.oid
      left join pg_catalog.pg_class t on t.reltoastrelid = c.oid
     where c.oid >= 16384 and n.nspname not in ('pg_catalog', 'information_schema') and c.relkind <> 'c'`
}

/** A row of `relationsQuery`. */
export interface RelationRow {
  oid: number
  schema: string
  relname: string
  relkind: string
  filenode: number
  reltuples: number
  table_oid: number
  bytes: number
  seq_read: number
  inserted: number
  updated: number
  deleted: number
}

/** Never waits for another session's lock, but for the moment between looking for it and asking for the size. */
export async function readRelations(
  session: Sql | Asked,
  counters: Counters = 'flushed',
): Promise<Map<number, RelationState>> {
  return toRelations(await ('ask' in session ? session : asked(session)).ask<RelationRow>(relationsQuery(counters)))
}

export function toRelations(rows: readonly RelationRow[]): Map<number, RelationState> {
  const relations = new Map<number, RelationState>()
  for (const row of rows) {
    relations.set(row.oid, {
      oid: row.oid,
      name: qualified(row.schema, row.relname),
      bare: row.relname,
      kind: kinds[row.relkind] ?? 'other',
      table: '',
      tableOid: row.table_oid,
      filenode: row.filenode,
      bytes: row.bytes,
      rows: row.reltuples,
      seqRead: row.seq_read,
      inserted: row.inserted,
      updated: row.updated,
      deleted: row.deleted,
    })
  }
  for (const relation of relations.values()) {
    // The TOAST table's index belongs to the table, too.
    const owner = relations.get(relation.tableOid)
    const table = owner?.kind === 'toast' ? relations.get(owner.tableOid) : owner
    relation.table = table?.name ?? relation.name
    relation.tableOid = table?.oid ?? relation.oid
    if (owner?.kind === 'toast') relation.kind = 'toast'
  }
  return relations
}

/** `schema.table`, or `table` in `public`. A session's temporary schema has a number that means nothing: `pg_temp.table`. */
export const qualified = (schema: string, name: string): string =>
  schema === 'public' ? name : `${schema.replace(/^pg_temp_\d+$/, 'pg_temp')}.${name}`
