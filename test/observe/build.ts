/** Looks of the lock sampler, made by hand. The migration is process 1; our clock and the server's differ by OFFSET_MS. */
import type { Look, SampledLock } from '../../src/observe/sampler.js'
import type { SpanInput } from '../../src/observe/spans.js'
import type { SessionUse, WaitInput } from '../../src/observe/waits.js'
import type { LockMode, LockTaken, Outcome, StatementRun } from '../../src/recording.js'

export const MIGRATION = 1
/** The server's clock minus ours. */
export const OFFSET_MS = 1_000_000

export const OIDS: Record<string, number> = { orders: 100, users: 101, items: 102, orders_idx: 110, toast: 120 }
const byOid = new Map(Object.entries(OIDS).map(([name, oid]) => [oid, name]))

export const relationName = (oid: number): string | null => byOid.get(oid) ?? null

export const relationOf = (oid: number): ReturnType<SpanInput['relationOf']> => {
  const relation = relationName(oid)
  if (relation === null) return null
  const kind = relation === 'orders_idx' ? 'index' : relation === 'toast' ? 'toast' : 'table'
  return { relation, kind, table: kind === 'table' ? relation : 'orders', existedBefore: relation !== 'items' }
}

export const taken = (relation: string, mode: LockMode): LockTaken => ({
  ...(relationOf(OIDS[relation] ?? 0) ?? { relation, kind: 'table', table: relation, existedBefore: true }),
  mode,
})

/** A granted relation lock. */
export const granted = (pid: number, relation: string, mode: string): SampledLock => ({
  pid,
  lockType: 'relation',
  relation: OIDS[relation] ?? 0,
  mode,
  granted: true,
  waitStart: null,
  blockedBy: [],
})

/** A wait since `sinceMs` on our clock (null: the server has not stamped it yet). */
export const waiting = (
  pid: number,
  relation: string,
  mode: string,
  blockedBy: number[],
  sinceMs: number | null = null,
  lockType = 'relation',
): SampledLock => ({
  pid,
  lockType,
  relation: OIDS[relation] ?? 0,
  mode,
  granted: false,
  waitStart: sinceMs === null ? null : sinceMs + OFFSET_MS,
  blockedBy,
})

/** A look that lasted from `fromMs` for `width` ms. */
export const look = (fromMs: number, locks: SampledLock[] = [], width = 1): Look => ({
  fromMs,
  toMs: fromMs + width,
  serverStartMs: fromMs + OFFSET_MS + width / 4,
  serverEndMs: fromMs + OFFSET_MS + (width * 3) / 4,
  locks,
})

export const OK: Outcome = { ok: true }
export const failed = (sqlstate: string): Outcome => ({
  ok: false,
  error: { sqlstate, condition: '', message: '', objects: [] },
})

export const run = (
  statement: string,
  startMs: number,
  endMs: number,
  transaction = 1,
  outcome: Outcome = OK,
): StatementRun => ({ statement, transaction, startMs, endMs, boundary: 'client', outcome, work: null })

/** Defaults for everything that a test does not speak of. */
export const spanInput = (over: Partial<SpanInput>): SpanInput => ({
  statements: [],
  transactions: [],
  taken: new Map(),
  looks: [],
  pids: [MIGRATION],
  earliestMs: (one) => one.startMs,
  relationOf,
  offset: { lowMs: OFFSET_MS, highMs: OFFSET_MS },
  announced: () => null,
  ...over,
})

export const waitInput = (over: Partial<WaitInput>): WaitInput => ({
  looks: [],
  // Process 2 is `old #1 get`, 3 `old #2 put`, 4 `new #1 get`, 5 `new #2 put`; others are strangers.
  uses: (over.looks ?? []).map(() => uses),
  settled: [],
  migrationPids: [MIGRATION],
  statements: [],
  spans: [],
  relationName,
  offset: { lowMs: OFFSET_MS, highMs: OFFSET_MS },
  endMs: 10_000,
  ...over,
})

const uses = new Map<number, SessionUse>([
  [2, { release: 'old', connection: 1, operation: 'get' }],
  [3, { release: 'old', connection: 2, operation: 'put' }],
  [4, { release: 'new', connection: 1, operation: 'get' }],
  [5, { release: 'new', connection: 2, operation: 'put' }],
])

export const nameOf = (pid: number): string => {
  const use = uses.get(pid)
  return pid === MIGRATION
    ? 'migration'
    : use
      ? `${use.release} #${use.connection} ${use.operation ?? ''}`
      : 'another session'
}
