/**
 * From the sampler's looks to waits (pure): which traffic session waited for which lock, from when to when, behind which
 * statement of the migration. The start comes from pg_locks.waitstart; the end lies between the last look that showed
 * the session waiting (and, when the migration stood in front of it, the earliest instant at which the migration let
 * go) and the end of its operation or the next look that did not show it.
 */
import type { Bracket, LockSpan, MigrationWait, Release, StatementRun, Wait } from '../recording.js'
import { conflicts } from '../sql/lock-modes.js'
import type { LockMode } from '../recording.js'
import type { Look, SampledLock } from './sampler.js'
import { minus } from './spans.js'

/** What a traffic session was doing at some time; asked at the moment of the look. */
export interface SessionUse {
  release: Release
  connection: number
  operation: string | null
}

/** A finished operation of a session. */
export interface Settled {
  pid: number
  startMs: number
  endMs: number
  /** With an error that ends a wait without the lock; see `gaveUp`. */
  failed: boolean
}

/** Timeouts, deadlocks, cancellation, lost connections. Any other error came after the lock was granted. */
export const gaveUp = (sqlstate: string): boolean => /^(55P03|40P01|57|08)/.test(sqlstate)

export interface WaitInput {
  looks: readonly Look[]
  /** Per look (same index): who each waiting pid was. */
  uses: readonly ReadonlyMap<number, SessionUse>[]
  settled: readonly Settled[]
  migrationPids: readonly number[]
  statements: readonly StatementRun[]
  spans: readonly LockSpan[]
  relationName: (oid: number) => string | null
  offset: Bracket | null
  /** The migration's waits for relation locks are wanted with whom it waited for; otherwise its spans say enough. */
  relationWaits?: boolean
  /** End of the pass: waits that were still going on end there. */
  endMs: number
}

interface Episode {
  pid: number
  use: SessionUse
  row: SampledLock
  first: number
  last: number
  waitStart: number | null
  depth: number
  behind: string | null
  directlyBehindMigration: boolean
}

/** Waits of traffic sessions that lasted long enough to be seen, in order of their start. */
export function trafficWaits(input: WaitInput): Wait[] {
  const open = new Map<string, Episode>()
  const done: { episode: Episode; next: Look | null }[] = []
  for (const [index, look] of input.looks.entries()) {
    const waiting = new Map<string, SampledLock>()
    for (const row of look.locks) if (!row.granted) waiting.set(episodeKey(row), row)
    for (const [key, episode] of open) {
      const row = waiting.get(key)
      if (row && !isLater(episode.waitStart, row.waitStart)) continue
      open.delete(key)
      done.push({ episode, next: look })
    }
    for (const [key, row] of waiting) {
      if (input.migrationPids.includes(row.pid)) continue
      const use = input.uses[index]?.get(row.pid)
      if (!use) continue
      const root = rootOf(row, look, input.migrationPids)
      const behind = root === null ? null : statementBehind(row, look, input)
      const known = open.get(key)
      if (known) {
        known.last = index
        known.waitStart = row.waitStart ?? known.waitStart
        known.use = use.operation ? use : known.use
        if (behind) {
          known.behind = behind
          known.depth = root ?? known.depth
        }
        known.directlyBehindMigration = root === 1
      } else
        open.set(key, {
          pid: row.pid,
          use,
          row,
          first: index,
          last: index,
          waitStart: row.waitStart,
          depth: root ?? 1,
          behind,
          directlyBehindMigration: root === 1,
        })
    }
  }
  for (const episode of open.values()) done.push({ episode, next: null })
  return done.map(({ episode, next }) => toWait(episode, next, input)).sort((a, b) => a.startMs.lowMs - b.startMs.lowMs)
}

const episodeKey = (row: SampledLock): string => `${row.pid} ${row.lockType} ${row.relation} ${row.mode}`

/** Two waits of one session for the same lock are told apart by waitstart, which is null only for an instant at the start. */
const isLater = (known: number | null, now: number | null): boolean =>
  known !== null && (now === null || now - known > 0.5)

/**
 * The server grants a lock before the waiter wakes up to use it; until then pg_locks shows no wait, but the operation
 * still stands. On a busy machine that takes tens of milliseconds. The end of the operation bounds it as well; this is
 * for operations that go on for long after the wait, whose end says nothing about it.
 */
const WAKE_UP_MS = 250

function toWait(episode: Episode, next: Look | null, input: WaitInput): Wait {
  const first = input.looks[episode.first]
  const last = input.looks[episode.last]
  if (!first || !last) throw new Error('an episode without looks')
  const operation = input.settled.find((s) => s.pid === episode.pid && s.startMs <= last.toMs && s.endMs >= last.fromMs)
  let startLow = Math.max(operation?.startMs ?? -Infinity, input.looks[episode.first - 1]?.fromMs ?? first.fromMs)
  let startHigh = first.toMs
  if (episode.waitStart !== null && input.offset) {
    startLow = episode.waitStart - input.offset.highMs
    startHigh = Math.min(first.toMs, episode.waitStart - input.offset.lowMs)
    startLow = Math.min(startLow, startHigh)
  }
  let endLow = last.fromMs
  let endHigh = Math.min((next?.toMs ?? input.endMs) + WAKE_UP_MS, operation?.endMs ?? input.endMs)
  const failed = operation?.failed === true && (next === null || operation.endMs <= next.toMs + WAKE_UP_MS)
  // Whoever waits right behind the migration goes on only after the migration let go, or gives up before.
  if (episode.directlyBehindMigration && !failed) {
    const release = releaseBehind(episode, last, input)
    if (release !== null) endLow = Math.max(endLow, Math.min(release, endHigh))
  }
  endHigh = Math.max(endHigh, endLow)
  const startMs = { lowMs: startLow, highMs: startHigh }
  const endMs = { lowMs: endLow, highMs: endHigh }
  return {
    release: episode.use.release,
    operation: episode.use.operation ?? '(unknown)',
    connection: episode.use.connection,
    lockType: episode.row.lockType,
    relation: input.relationName(episode.row.relation),
    mode: episode.row.mode,
    startMs,
    endMs,
    waitedMs: minus(endMs, startMs),
    behind: episode.behind,
    depth: episode.depth,
    end: failed ? 'error' : operation || next ? 'granted' : 'end of pass',
  }
}

/** Earliest instant at which the migration let go of what the episode waited for at its last look. */
function releaseBehind(episode: Episode, last: Look, input: WaitInput): number | null {
  const name = input.relationName(episode.row.relation)
  let release: number | null = null
  if (episode.row.lockType !== 'relation' || name === null) return null
  for (const span of input.spans) {
    if (span.relation !== name || !conflicts(span.mode, episode.row.mode as LockMode)) continue
    if (span.askedMs.lowMs > last.toMs || span.releasedMs.highMs < last.fromMs) continue
    release = Math.max(release ?? 0, span.releasedMs.lowMs)
  }
  return release
}

/** Distance to the migration along pg_blocking_pids, or null when the chain does not reach it. */
function rootOf(row: SampledLock, look: Look, migrationPids: readonly number[]): number | null {
  let depth = 1
  let front = row.blockedBy
  const visited = new Set<number>([row.pid])
  while (front.length > 0) {
    if (front.some((pid) => migrationPids.includes(pid))) return depth
    const next: number[] = []
    for (const pid of front) {
      if (visited.has(pid)) continue
      visited.add(pid)
      for (const other of look.locks) if (other.pid === pid && !other.granted) next.push(...other.blockedBy)
    }
    front = next
    depth++
  }
  return null
}

/**
 * The statement of the migration that the session stood behind: the one that took (or asked for) a conflicting lock on
 * the same relation; for row locks, the statement that was running or had run last.
 */
function statementBehind(row: SampledLock, look: Look, input: WaitInput): string | null {
  const name = input.relationName(row.relation)
  if (row.lockType === 'relation' && name !== null) {
    const spans = input.spans.filter(
      (span) =>
        span.relation === name &&
        conflicts(span.mode, row.mode as LockMode) &&
        span.askedMs.lowMs <= look.toMs &&
        span.releasedMs.highMs >= look.fromMs,
    )
    const span = spans.at(0)
    if (span) return span.statement
  }
  let latest: StatementRun | null = null
  for (const run of input.statements) if (run.startMs <= look.toMs) latest = run
  return latest?.statement ?? null
}

interface MigrationEpisode {
  row: SampledLock
  first: number
  last: number
  waitStart: number | null
  by: Set<string>
}

/**
 * Waits of the migration, e.g. CREATE INDEX CONCURRENTLY for older snapshots; those for relation locks only where they
 * are wanted.
 */
export function migrationWaits(input: WaitInput, nameOf: (pid: number, lookIndex: number) => string): MigrationWait[] {
  const open = new Map<string, MigrationEpisode>()
  const episodes: MigrationEpisode[] = []
  for (const [index, look] of input.looks.entries()) {
    for (const row of look.locks) {
      if (row.granted || !input.migrationPids.includes(row.pid)) continue
      if (row.lockType === 'relation' && input.relationWaits !== true) continue
      const key = episodeKey(row)
      let known = open.get(key)
      // CONCURRENTLY waits for one transaction after the other.
      if (!known || known.last < index - 1 || isLater(known.waitStart, row.waitStart)) {
        known = { row, first: index, last: index, waitStart: row.waitStart, by: new Set<string>() }
        open.set(key, known)
        episodes.push(known)
      }
      known.last = index
      known.waitStart ??= row.waitStart
      for (const pid of row.blockedBy) known.by.add(nameOf(pid, index))
    }
  }
  const waits: MigrationWait[] = []
  for (const { row, first, last, waitStart, by } of episodes) {
    const firstLook = input.looks[first]
    const lastLook = input.looks[last]
    if (!firstLook || !lastLook) continue
    const run = input.statements.find((s) => s.startMs <= firstLook.toMs && s.endMs >= firstLook.fromMs)
    if (!run) continue
    let startMs: Bracket = { lowMs: Math.max(run.startMs, input.looks[first - 1]?.fromMs ?? 0), highMs: firstLook.toMs }
    if (waitStart !== null && input.offset) {
      const high = Math.min(firstLook.toMs, waitStart - input.offset.lowMs)
      startMs = { lowMs: Math.min(high, waitStart - input.offset.highMs), highMs: high }
    }
    const endHigh = Math.min(run.endMs, input.looks[last + 1]?.toMs ?? run.endMs)
    const endMs = { lowMs: Math.min(lastLook.fromMs, endHigh), highMs: endHigh }
    waits.push({
      statement: run.statement,
      lockType: row.lockType,
      relation: input.relationName(row.relation),
      mode: row.mode,
      startMs,
      endMs,
      waitedMs: minus(endMs, startMs),
      waitedFor: [...by].sort(),
    })
  }
  return waits.sort((a, b) => a.startMs.lowMs - b.startMs.lowMs)
}
