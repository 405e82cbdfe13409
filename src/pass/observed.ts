/** From what was seen in the timed pass to what the recording says about locks and waits. Pure. */
import type { MigrationTrace } from '../migrations/runner.js'
import type { NoticeStamp } from '../migrations/session.js'
import { announcements } from '../observe/announcements.js'
import { clockOffset, refine, type Look } from '../observe/sampler.js'
import { blockedGroups } from '../observe/groups.js'
import { lockSpans } from '../observe/spans.js'
import type { ConnectionPids } from '../observe/uses.js'
import { migrationWaits, trafficWaits, type Settled, type WaitInput } from '../observe/waits.js'
import type { Bracket, LockSpan, LockTaken, StatementRun, TimedPass, TrafficSeries } from '../recording.js'
import type { RelationNames } from './context.js'

/** Lean by measurement: within noise to -6 % of throughput on two cores. */
export const SAMPLER_PERIOD_MS = 10
const MOST_WAITS = 5_000

export interface Observed {
  trace: MigrationTrace
  migrationPids: readonly number[]
  /** Whether a relation belongs to the migration tool's bookkeeping. */
  isJournal: (table: string) => boolean
  earliest: ReadonlyMap<StatementRun, number>
  notices: readonly NoticeStamp[]
  names: RelationNames
  looks: readonly Look[]
  pids: ConnectionPids
  settled: readonly Settled[]
  taken: ReadonlyMap<string, readonly LockTaken[]>
  endMs: number
  /** Also list the migration's waits for relation locks. */
  relationWaits: boolean
}

export function locksAndWaits(
  input: Observed,
): Pick<TimedPass, 'locks' | 'waits' | 'waitsNotListed' | 'blocked' | 'migrationWaits' | 'sampler'> {
  const offset: Bracket | null = clockOffset(input.looks)
  const looks = refine(input.looks, offset)
  const locks = lockSpans({
    statements: input.trace.run.statements,
    transactions: input.trace.transactions,
    taken: input.taken,
    looks,
    pids: input.migrationPids,
    earliestMs: (run) => input.earliest.get(run) ?? run.startMs,
    // The tool's own journal is not what traffic could wait for.
    relationOf: (oid) => {
      const relation = input.names.of(oid)
      return relation && input.isJournal(relation.table) ? null : relation
    },
    offset,
    announced: announcements(input.notices, input.trace.run.statements),
  })
  const asked: WaitInput = {
    looks,
    uses: input.pids.uses,
    settled: input.settled,
    migrationPids: input.migrationPids,
    statements: input.trace.run.statements,
    spans: locks,
    relationName: (oid) => input.names.of(oid)?.relation ?? null,
    offset,
    relationWaits: input.relationWaits,
    endMs: input.endMs,
  }
  const nameOf = (pid: number, look: number): string => input.pids.name(pid, look, input.migrationPids)
  const waits = trafficWaits(asked)
  const { run } = input.trace
  const during = input.looks.filter((look) => look.toMs >= run.startMs && look.fromMs <= run.endMs)
  const polls = during.map((look) => look.toMs - look.fromMs).sort((a, b) => a - b)
  // From the start of the migration to its end; a sampler that fell silent leaves a gap up to the end.
  let maxGapMs: number | null = null
  let lastMs = run.startMs
  for (const look of during) {
    maxGapMs = Math.max(maxGapMs ?? 0, look.toMs - lastMs)
    lastMs = Math.max(lastMs, look.fromMs)
  }
  if (run.statements.length > 0) maxGapMs = Math.max(maxGapMs ?? 0, run.endMs - lastMs)
  return {
    locks,
    waits: waits.slice(0, MOST_WAITS),
    waitsNotListed: Math.max(0, waits.length - MOST_WAITS),
    blocked: blockedGroups(waits, asked, nameOf),
    migrationWaits: migrationWaits(asked, nameOf),
    sampler: {
      periodMs: SAMPLER_PERIOD_MS,
      polls: input.looks.length,
      pollP50Ms: polls[Math.floor(polls.length / 2)] ?? null,
      maxGapMs,
      clockErrorMs: offset ? (offset.highMs - offset.lowMs) / 2 : null,
    },
  }
}

/** An interrupted pass that never came to its migration. */
export const emptyTrace = (atMs: number): MigrationTrace => ({
  run: {
    startMs: atMs,
    endMs: atMs,
    outcome: { ok: true },
    failedStatement: null,
    timedOut: false,
    statements: [],
    transactions: [],
    tool: null,
  },
  transactions: [],
  warnings: ['The migration never started.'],
})

/** Fills in the most sessions seen waiting in each slice; null where nobody looked. */
export function withBlocked(
  series: readonly TrafficSeries[],
  bucketMs: number,
  looks: readonly Look[],
  pids: ConnectionPids,
): TrafficSeries[] {
  return series.map((one) => {
    const blocked: (number | null)[] = one.scheduled.map(() => null)
    for (const [index, look] of looks.entries()) {
      const bucket = Math.floor(look.fromMs / bucketMs)
      if (bucket >= blocked.length) continue
      blocked[bucket] = Math.max(blocked[bucket] ?? 0, pids.waitingAt(index, one.release))
    }
    return { ...one, blocked }
  })
}

/** How late the victim may hear of what is over: on a busy machine the migration has gone on by then. */
const LATE_MS = 1_000

/** The statement whose wait for a lock ended last before then, or was still going on. */
export function inCycle(locks: readonly LockSpan[], atMs: number): string | null {
  const waits = locks.flatMap(({ statement, askedMs, grantedMs, releasedMs, waitedMs }) =>
    waitedMs.lowMs > 0 ? [{ statement, from: askedMs.lowMs, to: (grantedMs ?? releasedMs).highMs }] : [],
  )
  return waits.findLast(({ from, to }) => from <= atMs && to >= atMs - LATE_MS)?.statement ?? null
}

/** The last statement that had begun by then. */
export const statementAt = ({ run }: MigrationTrace, atMs: number): string | null =>
  run.statements.findLast((one) => one.startMs <= atMs)?.statement ?? null
