/** Strongest lock per relation that existed before the migration, with what it did to traffic. Pure. */
import type { LockMode, RelationSummary } from '../recording.js'
import { blocksReads, blocksWrites, strength } from '../sql/lock-modes.js'
import type { Facts } from './facts.js'

interface Strongest {
  mode: LockMode
  statement: string
  kind: RelationSummary['kind']
  reads: boolean
  writes: boolean
  /** Only an index of it was locked so far. */
  ofIndex: boolean
}

/**
 * Per table (and sequence, view): an index lock counts for its table, because the planner opens every index of a table
 * it reads, and every write maintains them all. The mode shown is the table's own; that of an index stands in for it
 * only while the table itself was not locked.
 */
export function relationSummaries(facts: Facts): RelationSummary[] {
  const strongest = new Map<string, Strongest>()
  const meet = (
    relation: string,
    kind: RelationSummary['kind'],
    table: string,
    mode: LockMode,
    statement: string,
  ): void => {
    if (kind === 'toast') return
    const owner = kind === 'index' ? table : relation
    const known = strongest.get(owner)
    const reads = blocksReads(mode)
    const writes = blocksWrites(mode)
    const ofIndex = kind === 'index'
    if (!known) {
      strongest.set(owner, { mode, statement, kind: ofIndex ? 'table' : kind, reads, writes, ofIndex })
      return
    }
    known.reads ||= reads
    known.writes ||= writes
    const own = known.ofIndex && !ofIndex
    if (own || (known.ofIndex === ofIndex && strength(mode) > strength(known.mode))) {
      known.mode = mode
      known.statement = statement
    }
    if (own) {
      known.kind = kind
      known.ofIndex = false
    }
  }
  for (const run of facts.quiet?.migration.statements ?? [])
    for (const lock of run.work?.locks ?? [])
      if (lock.existedBefore) meet(lock.relation, lock.kind, lock.table, lock.mode, run.statement)
  for (const span of facts.timed?.locks ?? [])
    if (span.existedBefore) meet(span.relation, span.kind, span.table, span.mode, span.statement)

  const summaries = [...strongest].map(([relation, best]): RelationSummary => {
    const spans =
      facts.timed?.locks.filter(
        (s) => s.table === relation && s.existedBefore && (s.relation !== relation || s.mode === best.mode),
      ) ?? []
    const held = spans.flatMap((s) => (s.heldMs ? [s.heldMs] : [])).sort((a, b) => b.highMs - a.highMs)[0] ?? null
    const waited = spans.map((s) => s.waitedMs).sort((a, b) => b.highMs - a.highMs)[0] ?? null
    const own = (facts.timed?.locks ?? []).filter((s) => s.table === relation)
    const statements = new Set(own.map((s) => s.statement))
    // One statement may lock several tables: a wait for another one's lock is that one's.
    const others = new Set((facts.timed?.locks ?? []).filter((s) => s.table !== relation).map((s) => s.relation))
    const waits =
      facts.timed?.waits.filter(
        (w) => w.behind !== null && statements.has(w.behind) && (w.relation === null || !others.has(w.relation)),
      ) ?? []
    const total = waits.reduce(
      (sum, w) => ({ lowMs: sum.lowMs + w.waitedMs.lowMs, highMs: sum.highMs + w.waitedMs.highMs }),
      { lowMs: 0, highMs: 0 },
    )
    const longest = [...waits].sort((a, b) => b.waitedMs.highMs - a.waitedMs.highMs)[0]
    return {
      relation,
      kind: best.kind,
      strongest: best.mode,
      statement: best.statement,
      blocksReads: best.reads,
      blocksWrites: best.writes,
      heldMs: held,
      waitedMs: waited,
      sessionsBlocked: facts.timed ? new Set(waits.map((w) => `${w.release} ${w.connection}`)).size : null,
      longestWaitMs: facts.timed ? (longest?.waitedMs ?? { lowMs: 0, highMs: 0 }) : null,
      blockedTotalMs: facts.timed ? total : null,
    }
  })
  return summaries.sort(
    (a, b) => strength(b.strongest) - strength(a.strongest) || (b.heldMs?.highMs ?? 0) - (a.heldMs?.highMs ?? 0),
  )
}
