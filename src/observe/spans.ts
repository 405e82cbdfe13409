/**
 * From stamps to lock spans (pure). Which locks a statement takes is known from the quiet pass; when it was granted and
 * released in the timed pass is bracketed by what can be proved: the client's stamps of the statement and of the end of
 * its transaction, narrowed by what the sampler saw in between and by the server's announcements of work that it only
 * begins once the lock is held.
 */
import type { Bracket, LockSpan, LockTaken, RelationKind, StatementRun } from '../recording.js'
import { LockMode as LockModes } from '../recording.js'
import { blocksReads, blocksWrites } from '../sql/lock-modes.js'
import type { Look } from './sampler.js'

export interface SpanInput {
  statements: readonly StatementRun[]
  transactions: readonly { ordinal: number; end: { sentMs: number; readyMs: number } }[]
  /** Lock set per statement id from the quiet pass. */
  taken: ReadonlyMap<string, readonly LockTaken[]>
  looks: readonly Look[]
  pids: readonly number[]
  /** Not before this was the statement begun: it left then, alone or in a message with others. */
  earliestMs: (run: StatementRun) => number
  /** OID of a relation by name, for the sampler's rows; several names can share none. */
  relationOf: (oid: number) => { relation: string; kind: RelationKind; table: string; existedBefore: boolean } | null
  /** Server clock minus ours; null when the sampler never looked. */
  offset: Bracket | null
  /** First announcement of work on a relation within a statement: the lock was held by then. */
  announced: (statement: string, relation: string) => number | null
}

interface Seen {
  firstGranted: Look | null
  lastGranted: Look | null
  /** The latest look before the first granted one in which it was absent or waiting. */
  lastNotGranted: Look | null
  lastWaiting: Look | null
  lastAbsentBeforeAsked: Look | null
  firstGoneAfter: Look | null
  waitStart: number | null
}

/** Brackets of every lock of the migration, in the order in which they were asked for. */
export function lockSpans(input: SpanInput): LockSpan[] {
  const spans: LockSpan[] = []
  const held = new Set<string>()
  for (const run of input.statements) {
    const transaction = input.transactions.find((t) => t.ordinal === run.transaction)
    if (!transaction) continue
    const known = input.taken.get(run.statement) ?? []
    const wanted = new Map<string, LockTaken & { sampledOnly: boolean }>()
    for (const lock of known) wanted.set(key(lock.relation, lock.mode), { ...lock, sampledOnly: false })
    for (const lock of sampledDuring(input, run)) {
      const id = key(lock.relation, lock.mode)
      // The quiet pass leaves out locks on indexes that are dead already (DROP INDEX CONCURRENTLY, REINDEX CONCURRENTLY
      // at their end): what it knows of a statement's index locks is the whole of it.
      if (lock.kind === 'index' && known.length > 0) continue
      if (!wanted.has(id)) wanted.set(id, { ...lock, sampledOnly: true })
    }
    const inVain = waitedInVain(input, run)
    for (const [id, lock] of wanted) {
      // Nobody can ask for a TOAST relation by itself: its table's lock says it all.
      if (lock.kind === 'toast') continue
      const unique = `${run.transaction} ${id}`
      if (held.has(unique)) continue
      const seen = observe(input, run, transaction.end.readyMs, lock)
      // What came before the lock that it never got was seen beside it; the rest was never asked for.
      if (inVain && !seen.firstGranted && !seen.lastWaiting) continue
      held.add(unique)
      spans.push(span(input, run, transaction.end, lock, seen, `L${spans.length + 1}`))
    }
  }
  return spans
}

const key = (relation: string, mode: string): string => `${mode} ${relation}`

function span(
  input: SpanInput,
  run: StatementRun,
  end: { sentMs: number; readyMs: number },
  lock: LockTaken & { sampledOnly: boolean },
  seen: Seen,
  id: string,
): LockSpan {
  // Only of the table's own lock: of several indexes, each is locked when its turn comes.
  const announced = lock.relation === lock.table ? input.announced(run.statement, lock.table) : null
  const waited = seen.lastWaiting !== null
  // Asked: not before the statement left; not after it was first seen, in whatever state.
  let askedLow = input.earliestMs(run)
  let askedHigh = Math.min(run.endMs, seen.firstGranted?.toMs ?? Infinity, announced ?? Infinity)
  if (seen.lastAbsentBeforeAsked) askedLow = Math.max(askedLow, seen.lastAbsentBeforeAsked.fromMs)
  if (seen.waitStart !== null && input.offset) {
    askedLow = clamp(seen.waitStart - input.offset.highMs, askedLow, askedHigh)
    askedHigh = clamp(seen.waitStart - input.offset.lowMs, askedLow, askedHigh)
  }
  // Granted: not before the last look that did not show it as granted.
  let grantedLow = askedLow
  if (seen.lastNotGranted) grantedLow = Math.max(grantedLow, seen.lastNotGranted.fromMs)
  const grantedHigh = Math.max(
    grantedLow,
    Math.min(run.endMs, seen.firstGranted?.toMs ?? Infinity, announced ?? Infinity),
  )
  const failed = !run.outcome.ok
  const neverGranted = failed && waited && seen.firstGranted === null
  // Released: while the end of the transaction was processed; never before it was last seen.
  let releasedLow = Math.max(end.sentMs, seen.lastGranted?.fromMs ?? -Infinity, seen.lastWaiting?.fromMs ?? -Infinity)
  if (!neverGranted) releasedLow = Math.max(releasedLow, grantedLow)
  let releasedHigh = end.readyMs
  if (seen.firstGoneAfter) releasedHigh = Math.min(releasedHigh, seen.firstGoneAfter.toMs)
  releasedHigh = Math.max(releasedLow, releasedHigh)
  const granted: Bracket | null = neverGranted ? null : { lowMs: grantedLow, highMs: grantedHigh }
  const until = granted ?? { lowMs: releasedLow, highMs: releasedHigh }
  return {
    id,
    relation: lock.relation,
    kind: lock.kind,
    table: lock.table,
    mode: lock.mode,
    existedBefore: lock.existedBefore,
    statement: run.statement,
    transaction: run.transaction,
    askedMs: { lowMs: askedLow, highMs: askedHigh },
    grantedMs: granted,
    releasedMs: { lowMs: releasedLow, highMs: releasedHigh },
    heldMs: granted && minus({ lowMs: releasedLow, highMs: releasedHigh }, granted),
    // Without a look that showed it waiting, it did not wait longer than the statement itself took to be answered.
    waitedMs: waited
      ? minus(until, { lowMs: askedLow, highMs: askedHigh })
      : { lowMs: 0, highMs: Math.max(0, grantedHigh - askedLow) },
    how: lock.sampledOnly
      ? 'sampler'
      : seen.firstGranted || seen.lastWaiting
        ? 'client stamps and sampler'
        : 'client stamps',
    blocksReads: blocksReads(lock.mode),
    blocksWrites: blocksWrites(lock.mode),
  }
}

/** lock_not_available, deadlock_detected, query_canceled: what ends a wait for a lock without the lock. */
const GAVE_UP: ReadonlySet<string> = new Set(['55P03', '40P01', '57014'])

/** Whether the statement failed while it waited for a lock of a relation, as far as looks show it. */
function waitedInVain(input: SpanInput, run: StatementRun): boolean {
  if (run.outcome.ok || !GAVE_UP.has(run.outcome.error.sqlstate)) return false
  const waited = new Map<string, boolean>()
  for (const look of input.looks) {
    if (look.toMs < run.startMs || look.fromMs > run.endMs) continue
    for (const row of look.locks)
      if (row.lockType === 'relation' && input.pids.includes(row.pid))
        waited.set(`${row.pid} ${row.relation} ${row.mode}`, !row.granted)
  }
  return [...waited.values()].includes(true)
}

function observe(input: SpanInput, run: StatementRun, untilMs: number, lock: LockTaken): Seen {
  const fromMs = input.earliestMs(run)
  const seen: Seen = {
    firstGranted: null,
    lastGranted: null,
    lastNotGranted: null,
    lastWaiting: null,
    lastAbsentBeforeAsked: null,
    firstGoneAfter: null,
    waitStart: null,
  }
  for (const look of input.looks) {
    if (look.toMs < fromMs) continue
    if (look.fromMs > untilMs) break
    const row = find(input, look, lock)
    if (row?.granted === true) {
      seen.firstGranted ??= look
      seen.lastGranted = look
      // Back again (CONCURRENTLY commits in between): one span over both, which can only overstate.
      seen.firstGoneAfter = null
    } else if (row) {
      seen.lastWaiting = look
      seen.waitStart = row.waitStart ?? seen.waitStart
      if (!seen.firstGranted) seen.lastNotGranted = look
    } else if (seen.lastGranted) {
      seen.firstGoneAfter ??= look
    } else if (!seen.lastWaiting) {
      // Absent before anything was seen: it had not been asked for at this look's earliest instant.
      if (look.fromMs >= fromMs && !seen.firstGranted) {
        seen.lastAbsentBeforeAsked = look
        seen.lastNotGranted = look
      }
    }
  }
  // Never seen at all: absence proves nothing, the lock may have come and gone between two looks.
  if (!seen.firstGranted && !seen.lastWaiting) {
    seen.lastAbsentBeforeAsked = null
    seen.lastNotGranted = null
  }
  return seen
}

function find(input: SpanInput, look: Look, lock: LockTaken): { granted: boolean; waitStart: number | null } | null {
  for (const row of look.locks) {
    if (row.lockType !== 'relation' || row.mode !== lock.mode || !input.pids.includes(row.pid)) continue
    if (input.relationOf(row.relation)?.relation === lock.relation) return row
  }
  return null
}

/** Relation locks of the migration that the sampler saw while the statement ran. */
function sampledDuring(input: SpanInput, run: StatementRun): LockTaken[] {
  const found = new Map<string, LockTaken>()
  for (const look of input.looks) {
    // The whole bracket must lie inside the statement, or the lock could be another statement's.
    if (look.fromMs < run.startMs || look.toMs > run.endMs) continue
    for (const row of look.locks) {
      if (row.lockType !== 'relation' || !input.pids.includes(row.pid)) continue
      const relation = input.relationOf(row.relation)
      if (!relation) continue
      const mode = LockModes.safeParse(row.mode)
      if (mode.success) found.set(key(relation.relation, mode.data), { ...relation, mode: mode.data })
    }
  }
  return [...found.values()]
}

/** a - b of two brackets; never negative, because nothing is released before it is granted. */
export function minus(a: Bracket, b: Bracket): Bracket {
  return { lowMs: Math.max(0, a.lowMs - b.highMs), highMs: Math.max(0, a.highMs - b.lowMs) }
}

export function plus(a: Bracket, b: Bracket): Bracket {
  return { lowMs: a.lowMs + b.lowMs, highMs: a.highMs + b.highMs }
}

const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value))
