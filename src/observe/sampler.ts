/**
 * The lock sampler: one session of its own that looks at pg_locks every few milliseconds while the migration runs.
 * Lean by measurement: only waiting locks of anybody and relation locks of the migration are fetched, and
 * pg_blocking_pids is asked for waiters only. `nudge()` looks at once, which is done whenever the migration sends
 * something: the moments that matter are the ones right after a request left.
 */
import type { Clock } from '../clock.js'
import type { Sql } from '../pg/connect.js'
import { fromPgLocks } from '../sql/lock-modes.js'

export interface SampledLock {
  pid: number
  lockType: string
  /** OID for relation and tuple locks, else 0. */
  relation: number
  /** In the documentation's words (`ACCESS EXCLUSIVE`); predicate locks as pg_locks has them. */
  mode: string
  granted: boolean
  /** pg_locks.waitstart on the server's clock, in ms since 1970; null when granted or not known yet. */
  waitStart: number | null
  blockedBy: number[]
}

export interface Look {
  /** The look's result was true at some instant in here, on the pass's clock. */
  fromMs: number
  toMs: number
  /** The server's clock when it received the question and after it had read the lock table, in ms since 1970. */
  serverStartMs: number
  serverEndMs: number
  locks: SampledLock[]
}

export interface SamplerOptions {
  sql: Sql
  clock: Clock
  periodMs: number
  /** Sessions of the migration: their granted relation locks are recorded as well. */
  pids: () => readonly number[]
  onLook?: (look: Look) => void
  /** Whether the next look should come soon, e.g. because the migration itself is waiting for a lock. */
  hurry?: (last: Look | undefined) => boolean
}

export interface Sampler {
  readonly looks: readonly Look[]
  nudge(): void
  /** Stops after the look under way. */
  stop(): Promise<void>
  /** Set when a look failed: what the driver said is not kept, only that it happened. */
  readonly failed: boolean
}

/** pg_locks is read as a whole before the first row is made, so a row's clock_timestamp() is later than the reading. */
const QUERY = `
  select extract(epoch from statement_timestamp())::float8 * 1000 as began,
         extract(epoch from clock_timestamp())::float8 * 1000 as now, l.pid, l.locktype, l.relation::bigint::float8 as relation,
         l.mode, l.granted, extract(epoch from l.waitstart)::float8 * 1000 as wait_start,
         case when not l.granted then array_to_string(pg_blocking_pids(l.pid), ',') end as blocked_by
    from pg_catalog.pg_locks l
   where l.pid <> pg_backend_pid()
     and (not l.granted or (l.locktype = 'relation' and l.relation >= 16384 and l.pid = any ($1::int[])))
  union all
  select extract(epoch from statement_timestamp())::float8 * 1000, extract(epoch from clock_timestamp())::float8 * 1000, null, null, null, null, null, null, null`

interface Row {
  began: number
  now: number
  pid: number | null
  locktype: string
  relation: number | null
  mode: string
  granted: boolean
  wait_start: number | null
  blocked_by: string | null
}

/** Looks in quick succession (about a millisecond apart) after each nudge. */
const BURST_AFTER_NUDGE = 8
/** At most so many of them at once and per second: 200 of 0.3 ms each are 6 % of one core. */
const BURST_LOOKS = 200
/** Pause between looks while `hurry` says so. */
const HURRY_MS = 1.5

export function startSampler(options: SamplerOptions): Sampler {
  const { sql, clock, periodMs } = options
  const looks: Look[] = []
  let running = true
  let failed = false
  let again = false
  let wake: (() => void) | null = null

  const look = async (): Promise<void> => {
    const pids = `{${options.pids().join(',')}}`
    const fromMs = clock.nowMs()
    const rows = await sql.unsafe<Row[]>(QUERY, [pids], { prepare: true })
    const toMs = clock.nowMs()
    const locks: SampledLock[] = []
    let serverStartMs = 0
    let serverEndMs = 0
    for (const [index, row] of rows.entries()) {
      // The first row is made right after the reading.
      if (index === 0) [serverStartMs, serverEndMs] = [row.began, row.now]
      if (row.pid === null) continue
      locks.push({
        pid: row.pid,
        lockType: row.locktype,
        relation: row.relation ?? 0,
        mode: fromPgLocks(row.mode) ?? row.mode,
        granted: row.granted,
        waitStart: row.wait_start,
        blockedBy: row.blocked_by ? row.blocked_by.split(',').map(Number) : [],
      })
    }
    const result = { fromMs, toMs, serverStartMs, serverEndMs, locks }
    looks.push(result)
    options.onLook?.(result)
  }

  // Looks in quick succession after a nudge are paid from this account, so that a migration of a thousand short
  // statements is not watched without a pause.
  let credit = BURST_LOOKS
  let burst = 0
  const loop = async (): Promise<void> => {
    let nextMs = clock.nowMs()
    let creditedMs = nextMs
    while (running) {
      again = false
      try {
        await look()
      } catch {
        // A broken observer must not break the pass: the gap shows in the sampler's health.
        failed = true
        return
      }
      // Read anew: `stop` and `nudge` may have been called during the look.
      if (!(running as boolean)) return
      const nowMs = clock.nowMs()
      credit = Math.min(BURST_LOOKS, credit + ((nowMs - creditedMs) / 1000) * BURST_LOOKS)
      creditedMs = nowMs
      const fast = credit >= 1 && (burst > 0 || options.hurry?.(looks.at(-1)) === true)
      if (fast) {
        burst = Math.max(0, burst - 1)
        credit--
        nextMs = nowMs
      } else nextMs = Math.max(nextMs + periodMs, nowMs + 1)
      if (again as boolean) continue
      const waitMs = fast ? (burst > 0 ? 0 : HURRY_MS) : nextMs - nowMs
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs)
        wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
      wake = null
    }
  }
  const ended = loop()

  return {
    looks,
    get failed() {
      return failed
    },
    nudge() {
      again = true
      burst = BURST_AFTER_NUDGE
      wake?.()
    },
    async stop() {
      running = false
      wake?.()
      await ended
    },
  }
}

/**
 * What the server's clock minus ours lies between, narrowed by every look: the question was sent before the server began
 * and the answer arrived after it had ended. Both clocks are taken to run equally fast for the length of a pass.
 */
export function clockOffset(looks: readonly Look[]): { lowMs: number; highMs: number } | null {
  let low = -Infinity
  let high = Infinity
  for (const look of looks) {
    if (look.serverStartMs === 0) continue
    low = Math.max(low, look.serverEndMs - look.toMs)
    high = Math.min(high, look.serverStartMs - look.fromMs)
  }
  if (!Number.isFinite(low) || !Number.isFinite(high)) return null
  // Clocks that drifted apart by more than the best look is wide: keep both ends in order.
  return low <= high ? { lowMs: low, highMs: high } : { lowMs: high, highMs: low }
}

/** Looks whose brackets are narrowed to the server's own stamps, carried to our clock. */
export function refine(looks: readonly Look[], offset: { lowMs: number; highMs: number } | null): Look[] {
  if (!offset) return [...looks]
  return looks.map((look) => {
    if (look.serverStartMs === 0) return look
    const fromMs = Math.max(look.fromMs, look.serverStartMs - offset.highMs)
    const toMs = Math.min(look.toMs, look.serverEndMs - offset.lowMs)
    return fromMs <= toMs ? { ...look, fromMs, toMs } : look
  })
}
