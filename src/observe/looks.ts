/**
 * Quiet pass only: the server looks by itself before and after each DDL statement, also inside a message of several that
 * nobody can interrupt. Event triggers on the copy run in the migration's own session and transaction, so what they see
 * (its locks, its counters, its catalog) is exact; they tell it in a LOG notice, which the proxy keeps for us.
 *
 * What it costs: a millisecond or so a look, more with thousands of relations. What it misses: statements for which no
 * event trigger fires (INSERT, UPDATE, DELETE, TRUNCATE, LOCK, DO, SELECT, SET, VACUUM, everything about roles, databases
 * and tablespaces); one such statement between two looks is seen by their difference, two are not told apart. It needs a
 * superuser to set up; without one there is none, and messages are taken apart instead.
 */
import { relationsQuery, type RelationRow } from '../pg/catalog.js'
import type { Sql } from '../pg/connect.js'

const PREFIX = 'rehearse look '
/** Characters in one notice: more than 64 kB of one are not kept, and a database of 300 relations fills that. */
const PART = 12_000
const SCHEMA = 'rehearse_looks'

export interface ServerLook {
  event: 'ddl_command_start' | 'ddl_command_end'
  /** Command tag, e.g. `ALTER TABLE`. */
  tag: string
  relations: RelationRow[]
  held: { oid: number; mode: string }[]
  wal: number
  lockTimeoutMs: number
  statementTimeoutMs: number
}

/** Returns whether the server looks from now on. `admin` is a superuser of the copy. */
export async function installLooks(admin: Sql): Promise<boolean> {
  const body = `
    declare
      whole text;
      parts int;
    begin
      whole := pg_catalog.jsonb_build_object(
        'event', tg_event, 'tag', tg_tag,
        'relations', (select pg_catalog.jsonb_agg(pg_catalog.to_jsonb(r)) from (${relationsQuery('transaction')}) r),
        'held', (select pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('oid', l.relation::bigint, 'mode', l.mode))
                   from pg_catalog.pg_locks l
                  where l.pid = pg_catalog.pg_backend_pid() and l.locktype = 'relation' and l.granted and l.relation >= 16384),
        'wal', pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0'),
        'lockTimeoutMs', (select setting::int from pg_catalog.pg_settings where name = 'lock_timeout'),
        'statementTimeoutMs', (select setting::int from pg_catalog.pg_settings where name = 'statement_timeout'));
      parts := pg_catalog.ceil(pg_catalog.length(whole) / ${PART}.0)::int;
      for part in 1..parts loop
        raise log '${PREFIX}% % %', part, parts, pg_catalog.substr(whole, (part - 1) * ${PART} + 1, ${PART});
      end loop;
    end`
  try {
    await admin
      .unsafe(
        `create schema ${SCHEMA};
         create function ${SCHEMA}.look() returns event_trigger language plpgsql security definer
           set search_path = pg_catalog as $look$${body}$look$;
         create event trigger rehearse_look_before on ddl_command_start execute function ${SCHEMA}.look();
         create event trigger rehearse_look_after on ddl_command_end execute function ${SCHEMA}.look();`,
      )
      .simple()
    return true
  } catch {
    return false
  }
}

/** The copy as the migration alone has left it. */
export async function removeLooks(admin: Sql): Promise<void> {
  await admin
    .unsafe(
      `drop event trigger if exists rehearse_look_before;
       drop event trigger if exists rehearse_look_after;
       drop schema if exists ${SCHEMA} cascade;`,
    )
    .simple()
    .catch(() => undefined)
}

/** Puts looks together from the notices that tell them, one or several each. */
export class LookReader {
  #parts: string[] = []

  /** The look that is complete with this message, or null. */
  read(message: string): ServerLook | null {
    if (!message.startsWith(PREFIX)) return null
    const [part = '', parts = ''] = message.slice(PREFIX.length).split(' ', 2)
    if (part === '1') this.#parts = []
    this.#parts.push(message.slice(PREFIX.length + part.length + parts.length + 2))
    if (part !== parts) return null
    // jsonb_agg of nothing is null.
    const value = JSON.parse(this.#parts.join('')) as Omit<ServerLook, 'relations' | 'held'> & {
      relations: RelationRow[] | null
      held: ServerLook['held'] | null
    }
    return { ...value, relations: value.relations ?? [], held: value.held ?? [] }
  }
}

export type LookKind = 'loud' | 'silent' | 'none' | 'cut'

/** What is known of one statement of a message: the looks around it. */
export interface Between<Look> {
  before: Look
  after: Look
}

/**
 * Puts the looks of one message to its statements: each DDL statement has its own pair, a statement without looks is what
 * happened between its neighbours'. `kinds` says per statement what is expected of it: `loud` ones look, `silent` ones do
 * not, `none` (SET) do nothing that could be seen, and a `cut` (BEGIN, COMMIT) ends what can be compared. null for what
 * cannot be told.
 * @param first what was known before the message, @param last after it, null where that is not the same transaction
 * @param failedAt index of the statement that failed, null when none did
 */
export function assignLooks<Look extends { event: string }>(
  kinds: readonly LookKind[],
  looks: readonly Look[],
  first: Look | null,
  last: Look | null,
  failedAt: number | null = null,
): (Between<Look> | null)[] {
  const pairs = outermost(looks)
  const result: (Between<Look> | null)[] = kinds.map(() => null)
  const loud = kinds.flatMap((kind, index) => (kind === 'loud' ? [index] : []))
  // More or fewer than expected: nobody knows which look is whose. What fails may do so before it looks.
  const done = failedAt === null ? loud.length : loud.filter((index) => index < failedAt).length
  const begun = failedAt !== null && kinds[failedAt] === 'loud' ? done + 1 : done
  if (pairs.length < done || pairs.length > begun) return result
  for (const [nth, pair] of pairs.entries()) {
    const index = loud[nth]
    if (index !== undefined && pair.after) result[index] = { before: pair.before, after: pair.after }
  }
  for (const [index, kind] of kinds.entries()) {
    if (kind !== 'silent') continue
    let from = index - 1
    while (from >= 0 && kinds[from] === 'none') from--
    let to = index + 1
    while (to < kinds.length && kinds[to] === 'none') to++
    if (kinds[from] === 'silent' || kinds[to] === 'silent') continue
    const before = from < 0 ? first : (result[from]?.after ?? null)
    const after = to >= kinds.length ? last : (pairs[loud.indexOf(to)]?.before ?? null)
    if (before && after) result[index] = { before, after }
  }
  return result
}

/** Pairs of the outermost level; a statement that failed has only the first of the two. */
function outermost<Look extends { event: string }>(looks: readonly Look[]): { before: Look; after: Look | null }[] {
  const pairs: { before: Look; after: Look | null }[] = []
  let depth = 0
  for (const look of looks) {
    if (look.event === 'ddl_command_start') {
      if (depth++ === 0) pairs.push({ before: look, after: null })
    } else if (--depth === 0) {
      const open = pairs.at(-1)
      if (open) open.after = look
    }
  }
  return pairs
}
