/**
 * What one statement did to the database, in the quiet pass. Inside a transaction the migration's own session is asked
 * right after the statement: its locks, its transaction's row counters and the catalog as it sees it are exact. A
 * statement that must run outside a transaction is compared by flushed counters, and its locks are watched from outside.
 */
import type { LockTaken, Work } from '../recording.js'
import type { RelationState } from '../pg/catalog.js'
import type { Asked, Sql } from '../pg/connect.js'
import type { LockWatch } from './lock-watch.js'
import { assignLooks, type LookKind } from './looks.js'
import { looksSince, takeSnapshot, type Held, type Snapshot } from './snapshot.js'
import type { NoticeStamp } from '../migrations/session.js'

export interface WorkOptions {
  /** The migration's own session. */
  session: Asked
  notices: readonly NoticeStamp[]
  /** A second session with the right to read everything. */
  observer: Sql
  /** Relations before the migration, by OID. */
  initial: ReadonlyMap<number, RelationState>
  /** Locks of the migration seen by the sampler since the last call; for statements that fail in a transaction. */
  sampled: () => readonly Held[]
  /** For statements outside a transaction; null where it cannot be had. */
  watch: LockWatch | null
}

/** What the statement is, and how it left its transaction. */
export interface StatementEnd {
  inTransaction: boolean
  aborted: boolean
  truncates: boolean
  /** DROP INDEX CONCURRENTLY and REINDEX CONCURRENTLY. */
  dropsIndexConcurrently: boolean
}

/** Share of a table's rows from which reading it counts as a full scan. */
const FULL = 0.9

export class WorkMeter {
  readonly #o: WorkOptions
  #before: Snapshot | null = null

  constructor(options: WorkOptions) {
    this.#o = options
  }

  async before(inTransaction: boolean): Promise<void> {
    if (!inTransaction) await this.#o.watch?.prepare()
    this.#before = await takeSnapshot(this.#o, inTransaction)
    this.#o.sampled()
    if (!inTransaction) await this.#o.watch?.start()
  }

  /** Before a rolled back or failed statement's session is used again, nothing can be asked in its transaction. */
  async after(state: StatementEnd): Promise<Work | null> {
    const before = this.#before
    if (!before) return null
    this.#before = null
    const sampled = [...((await this.#o.watch?.stop()) ?? []), ...this.#sampled()]
    if (state.aborted && state.inTransaction) return this.#onlyLocks(before, sampled)
    const after = await takeSnapshot(this.#o, state.inTransaction)
    if (!state.inTransaction) await this.#o.watch?.release()
    return this.#compare(before, after, state, sampled)
  }

  /**
   * After a message of several statements that was sent whole: what the server's own looks tell of each. `failedAt` is
   * the statement that failed, which has no look after it.
   */
  async afterMessage(
    statements: readonly {
      kind: LookKind
      /** It runs outside of any transaction block and has let go of its locks when the server looks again. */
      outside: boolean
      end: Pick<StatementEnd, 'truncates' | 'dropsIndexConcurrently'>
    }[],
    state: Pick<StatementEnd, 'inTransaction' | 'aborted'> & {
      began: 'in a transaction' | 'idle'
      failedAt: number | null
    },
  ): Promise<(Work | null)[]> {
    const before = this.#before
    if (!before) return statements.map(() => null)
    this.#before = null
    const sampled = [...((await this.#o.watch?.stop()) ?? []), ...this.#sampled()]
    const looks = looksSince(this.#o.notices, before)
    const open = state.inTransaction && !state.aborted
    const last = open ? { ...(await takeSnapshot(this.#o, true)), event: '' } : null
    if (!state.inTransaction) await this.#o.watch?.release()
    const first = state.began === 'in a transaction' ? { ...before, event: '' } : null
    const kinds = statements.map(({ kind }) => kind)
    const between = assignLooks(kinds, looks, first, last, state.failedAt)
    // CREATE TABLE AS has locked what it reads before the server looks: its analysis comes first.
    const heldBefore = (index: number): Held[] | null => {
      let at = index - 1
      while (kinds[at] === 'none') at--
      return at < 0 ? (first?.held ?? []) : (between[at]?.after.held ?? null)
    }
    return statements.map(({ end, kind, outside }, index) => {
      const own = between[index]
      if (own)
        return this.#compare(
          kind === 'loud' ? { ...own.before, held: heldBefore(index) ?? own.before.held } : own.before,
          own.after,
          { inTransaction: !outside, aborted: false, ...end },
          // The server's own looks read as well.
          outside ? sampled.filter(({ mode }) => mode !== 'ACCESS SHARE') : [],
        )
      if (index !== state.failedAt || kind !== 'loud') return null
      const begun = looks.findLast((look) => look.event === 'ddl_command_start')
      return this.#onlyLocks(begun ?? before, sampled)
    })
  }

  /** The sampler cannot tell our own questions in the session, which read, from what the statement does. */
  #sampled(): Held[] {
    return this.#o.sampled().filter(({ mode }) => mode !== 'ACCESS SHARE')
  }

  #onlyLocks(before: Snapshot, sampled: readonly Held[]): Work {
    return {
      locks: this.#locks(sampled, before, before.relations),
      locksFrom: 'sampled',
      rewrites: [],
      indexBuilds: [],
      scans: [],
      rowsWritten: [],
      truncated: [],
      transactions: null,
      walBytes: null,
      sizeChanges: [],
      lockTimeoutMs: before.lockTimeoutMs,
      statementTimeoutMs: before.statementTimeoutMs,
    }
  }

  #compare(before: Snapshot, after: Snapshot, state: StatementEnd, sampled: readonly Held[]): Work {
    const existed = (oid: number): boolean => this.#o.initial.has(oid)
    const nameOf = (relation: RelationState): string => (this.#o.initial.get(relation.oid) ?? relation).name
    const messages = this.#o.notices.slice(before.notices, after.notices).map((notice) => notice.message)
    const rewriting = quotedNames(messages, /^rewriting table "(.*)"$/)
    const building = quotedNames(messages, /^building index "(.*?)" on table ".*"/)
    const work: Work = {
      locks: this.#locks(
        state.inTransaction ? after.held : sampled,
        before,
        after.relations,
        state.dropsIndexConcurrently,
      ),
      locksFrom: state.inTransaction ? 'transaction' : 'sampled',
      rewrites: [],
      indexBuilds: [],
      scans: [],
      rowsWritten: [],
      truncated: [],
      // Between the two questions stand the statement's transactions, the flush and the second question itself.
      transactions: state.inTransaction ? 1 : Math.max(1, after.begun - before.begun - 2),
      walBytes: Math.max(0, after.wal - before.wal),
      sizeChanges: [],
      lockTimeoutMs: before.lockTimeoutMs,
      statementTimeoutMs: before.statementTimeoutMs,
    }
    const truncatedTables = new Set<number>()
    for (const relation of after.relations.values()) {
      const old = before.relations.get(relation.oid)
      if (relation.kind !== 'table' && relation.kind !== 'materialized view') continue
      const inserted = relation.inserted - (old?.inserted ?? 0)
      const updated = relation.updated - (old?.updated ?? 0)
      const deleted = relation.deleted - (old?.deleted ?? 0)
      const read = relation.seqRead - (old?.seqRead ?? 0)
      const existedBefore = existed(relation.oid)
      if (inserted + updated + deleted > 0)
        work.rowsWritten.push({ relation: nameOf(relation), inserted, updated, deleted, existedBefore })
      const rows = old ? this.#rows(old) : null
      if (old && rows !== null && rows > 0 && read >= rows * FULL)
        work.scans.push({
          relation: nameOf(old),
          rows: read,
          passes: Math.max(1, Math.round(read / rows)),
          existedBefore,
        })
      if (old && old.filenode !== relation.filenode && old.filenode !== 0) {
        // A new file is a rewrite when the server said so, or when it filled it without counting rows as inserted
        // (CLUSTER, VACUUM FULL), or when it is a materialized view (REFRESH counts them). TRUNCATE also makes a new
        // file, but an empty one.
        const filled = relation.bytes > 0 && (inserted === 0 || relation.kind === 'materialized view')
        if (rewriting.has(relation.bare) || rewriting.has(old.bare) || filled)
          work.rewrites.push({ relation: nameOf(old), rows, bytes: relation.bytes })
        else {
          truncatedTables.add(relation.oid)
          work.truncated.push(nameOf(old))
        }
      }
      if (old && old.bytes !== relation.bytes && Math.min(old.bytes, relation.bytes) >= 0 && existedBefore)
        work.sizeChanges.push({ relation: nameOf(old), beforeBytes: old.bytes, afterBytes: relation.bytes })
    }
    // ALTER COLUMN TYPE may drop an index and make it anew over the same file: nothing was built then.
    const files = new Set([...before.relations.values()].map((relation) => relation.filenode))
    for (const index of after.relations.values()) {
      if (index.kind !== 'index' || truncatedTables.has(index.tableOid) || !existed(index.tableOid)) continue
      if (files.has(index.filenode)) continue
      const built = index.bytes > 0 || (!before.relations.has(index.oid) && building.has(index.bare))
      if (!built) continue
      const table = this.#o.initial.get(index.tableOid)?.name ?? index.table
      work.indexBuilds.push({ relation: nameOf(index), table, bytes: index.bytes })
    }
    return work
  }

  /** A rewrite forgets pg_class.reltuples: then the number from before the migration is the best there is. */
  #rows(relation: RelationState): number | null {
    const rows = relation.rows >= 0 ? relation.rows : (this.#o.initial.get(relation.oid)?.rows ?? -1)
    return rows >= 0 ? rows : null
  }

  /**
   * New locks on user relations that the transaction did not hold before in that mode. DROP INDEX CONCURRENTLY and
   * REINDEX CONCURRENTLY take ACCESS EXCLUSIVE on an index only when it is dead and everybody who knew it has gone (the
   * server's index_drop): no traffic can meet that lock, so it is left out.
   */
  #locks(
    held: readonly Held[],
    before: Snapshot,
    now: ReadonlyMap<number, RelationState>,
    dropsIndexConcurrently = false,
  ): LockTaken[] {
    const taken: LockTaken[] = []
    // What was held just before, not what the transaction ever took: ROLLBACK TO releases locks.
    const known = new Set(before.held.map(({ oid, mode }) => `${oid} ${mode}`))
    for (const { oid, mode } of held) {
      const key = `${oid} ${mode}`
      if (known.has(key)) continue
      known.add(key)
      const relation = this.#o.initial.get(oid) ?? before.relations.get(oid) ?? now.get(oid)
      if (!relation) continue
      if (dropsIndexConcurrently && relation.kind === 'index' && mode === 'ACCESS EXCLUSIVE') continue
      taken.push({
        relation: relation.name,
        kind: relation.kind,
        table: relation.table,
        mode,
        existedBefore: this.#o.initial.has(oid),
      })
    }
    return taken
  }
}

/** Names that the server's notices quote; they carry no schema, so they only confirm what the catalog says. */
function quotedNames(messages: readonly string[], pattern: RegExp): Set<string> {
  const names = new Set<string>()
  for (const message of messages) {
    const name = pattern.exec(message)?.[1]
    if (name !== undefined) names.add(name)
  }
  return names
}
