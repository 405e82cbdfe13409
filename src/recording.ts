/**
 * The Recording (facts) and the Report (opinions about them) as zod schemas. The schemas are the only source of the
 * types, and the JSON Schemas published with the package are generated from them.
 *
 * Conventions: instants are milliseconds since the start of their pass on one monotonic clock and end in `Ms`;
 * durations also end in `Ms`; sizes end in `Bytes`. `null` means "not measured", never zero. Relations are written as
 * `table` when they live in `public` and as `schema.table` otherwise. No value of a row or of a parameter is in here.
 */
import { z } from 'zod'

/** Major.minor of both files. A minor version only adds fields; a reader refuses another major. */
export const SCHEMA_VERSION = '1.2'

// ── Vocabulary ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** PostgreSQL's eight table-level lock modes, weakest first (documentation, "Table-Level Locks"). */
export const LockMode = z.enum([
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
])
export type LockMode = z.infer<typeof LockMode>

export const RelationKind = z.enum(['table', 'index', 'sequence', 'view', 'materialized view', 'toast', 'other'])
export type RelationKind = z.infer<typeof RelationKind>

/** The two releases of the application that run at once during a deploy. */
export const Release = z.enum(['old', 'new'])
export type Release = z.infer<typeof Release>

/** How statements become transactions; see `migrations.transaction` in the README. */
export const TransactionMode = z.enum(['file', 'all', 'statement', 'batch'])
export type TransactionMode = z.infer<typeof TransactionMode>

export const PhaseName = z.enum(['warmup', 'baseline', 'migrate', 'rollout', 'settled'])
export type PhaseName = z.infer<typeof PhaseName>

/** A quantity that is known to lie between two values (both included). */
export const Bracket = z.object({ lowMs: z.number(), highMs: z.number() })
export type Bracket = z.infer<typeof Bracket>

/**
 * An error of the server without any data: the message is rebuilt from SQLSTATE and object names. Three codes are no
 * SQLSTATE: `CLIENT`, when an operation's own code failed, `TOOL`, when the migration tool gave up although the server had
 * refused nothing, and `POOL`, when a request got no connection of the application's pool in time.
 */
export const PgError = z.object({
  sqlstate: z.string(),
  /** The condition's name in the documentation, e.g. `not_null_violation`. */
  condition: z.string(),
  message: z.string(),
  /** The table, column, constraint or type that the server named in its error fields. */
  objects: z.array(z.string()),
})
export type PgError = z.infer<typeof PgError>

export const Outcome = z.discriminatedUnion('ok', [
  z.object({ ok: z.literal(true) }),
  z.object({ ok: z.literal(false), error: PgError }),
])
export type Outcome = z.infer<typeof Outcome>

// ── The migration as written ────────────────────────────────────────────────────────────────────────────────────────

export const Statement = z.object({
  /** Stable within a recording: `<file>#<ordinal, from 1>`. */
  id: z.string(),
  file: z.string(),
  /** 1-based line of the statement's first token; see `exactLine`. */
  line: z.number().int(),
  /**
   * True when the statement's text stands at that line. A program (a JS or TS migration) makes its statements itself:
   * then the line is the first that names what the statement is about, or 1.
   */
  exactLine: z.boolean().default(true),
  ordinal: z.number().int(),
  /**
   * The statement as written, without surrounding white space and semicolon. One that stands in no file, because a
   * program made it, is shown as the tool sent it with every literal replaced by a placeholder.
   */
  sql: z.string(),
  /** The kind of statement in the parser's words, e.g. `AlterTableStmt`. */
  kind: z.string(),
  /** Written with CONCURRENTLY. */
  concurrently: z.boolean(),
  /** The parts of an ALTER TABLE in the parser's words, e.g. `AT_SetNotNull` of a column, `CONSTR_CHECK` for a constraint. */
  actions: z.array(z.object({ action: z.string(), name: z.string().nullable(), notValid: z.boolean() })),
})
export type Statement = z.infer<typeof Statement>

export const MigrationFile = z.object({
  file: z.string(),
  sha256: z.string(),
  /** How this file is run: `none` stands for the line `-- rehearse: no-transaction`, `tool` for whatever the tool does. */
  transaction: z.enum([...TransactionMode.options, 'none', 'tool']),
  /** What the migration tool calls it; null for a plain SQL file. */
  name: z.string().nullable().default(null),
  /** A program's statements are known only once it has run. */
  kind: z.enum(['sql', 'code']).default('sql'),
  statements: z.array(Statement),
})
export type MigrationFile = z.infer<typeof MigrationFile>

// ── What one statement did ──────────────────────────────────────────────────────────────────────────────────────────

export const LockTaken = z.object({
  relation: z.string(),
  kind: RelationKind,
  /** The table that an index or TOAST relation belongs to; the relation itself for a table. */
  table: z.string(),
  mode: LockMode,
  /** Whether the relation existed before the migration started: only then can traffic meet the lock. */
  existedBefore: z.boolean(),
})
export type LockTaken = z.infer<typeof LockTaken>

/** Work done by one statement. Measured in the quiet pass, where nothing else runs. */
export const Work = z.object({
  /** Locks that this statement took and that its transaction did not hold before in that mode. */
  locks: z.array(LockTaken),
  /** How the lock set was obtained. `sampled` can miss locks shorter than the sampling period. */
  locksFrom: z.enum(['transaction', 'sampled']),
  /** Tables and materialized views whose heap was written anew. A TRUNCATE is not a rewrite. */
  rewrites: z.array(z.object({ relation: z.string(), rows: z.number().nullable(), bytes: z.number().nullable() })),
  /** Indexes that were built or rebuilt. */
  indexBuilds: z.array(z.object({ relation: z.string(), table: z.string(), bytes: z.number().nullable() })),
  /** Tables read from beginning to end: `rows` read in all, `passes` = how many times over. */
  scans: z.array(z.object({ relation: z.string(), rows: z.number(), passes: z.number(), existedBefore: z.boolean() })),
  rowsWritten: z.array(
    z.object({
      relation: z.string(),
      inserted: z.number(),
      updated: z.number(),
      deleted: z.number(),
      existedBefore: z.boolean(),
    }),
  ),
  truncated: z.array(z.string()),
  /** Transactions that the statement used itself: more than 1 means that it committed in between (CALL, CONCURRENTLY). */
  transactions: z.number().nullable(),
  /** Write-ahead log written while the statement ran; background writers of the server are in it. */
  walBytes: z.number().nullable(),
  sizeChanges: z.array(z.object({ relation: z.string(), beforeBytes: z.number(), afterBytes: z.number() })),
  /** Effective at the statement's start; 0 means "waits for ever". */
  lockTimeoutMs: z.number().nullable(),
  statementTimeoutMs: z.number().nullable(),
})
export type Work = z.infer<typeof Work>

export const StatementRun = z.object({
  statement: z.string(),
  /** Ordinal of the transaction that it ran in, from 1; autocommitted statements have one each. */
  transaction: z.number().int(),
  /** Sent by the client. */
  startMs: z.number(),
  /** Answer received by the client. */
  endMs: z.number(),
  /**
   * How start and end are known: `client` stamps of the message that it was alone in; `server`, within a message or
   * pipeline of several, by the server's own marks between them (their arrival); `message`, only those of the whole.
   */
  boundary: z.enum(['client', 'server', 'message']).default('client'),
  outcome: Outcome,
  /** null in the timed pass, where nothing is probed. */
  work: Work.nullable(),
})
export type StatementRun = z.infer<typeof StatementRun>

export const TransactionRun = z.object({
  ordinal: z.number().int(),
  startMs: z.number(),
  endMs: z.number(),
  end: z.enum(['committed', 'rolled back']),
  statements: z.array(z.string()),
  /** Whether the client sent BEGIN (or one message with several statements) or the server committed by itself. */
  kind: z.enum(['explicit', 'message', 'autocommit']),
})
export type TransactionRun = z.infer<typeof TransactionRun>

/** One message of the migration tool to the server, as it passed through the loopback proxy. */
export const ToolMessage = z.object({
  session: z.number().int(),
  /** `migration`: statements of a migration; `journal`: the tool's own tables; `transaction`: BEGIN, COMMIT and the like. */
  role: z.enum(['migration', 'journal', 'transaction', 'lock', 'other']),
  protocol: z.enum(['simple', 'extended', 'function']),
  /** Normalised: every literal replaced by a placeholder. */
  text: z.string(),
  /** Ids of the migration's statements in it. */
  statements: z.array(z.string()),
  sentMs: z.number(),
  firstByteMs: z.number().nullable(),
  /** Last CommandComplete or error; of pipelined messages the server sends them together. */
  completeMs: z.number().nullable(),
  /** ReadyForQuery. */
  readyMs: z.number().nullable(),
  /** Command tags without counts, e.g. `ALTER TABLE`; one per statement. */
  tags: z.array(z.string()),
  /** The session afterwards. */
  after: z.enum(['idle', 'in a transaction', 'in a failed transaction', 'closed']),
  outcome: Outcome,
})
export type ToolMessage = z.infer<typeof ToolMessage>

/** One run of the team's own migration tool. */
export const ToolRun = z.object({
  /** null when a signal ended it, or when it never started. */
  exitCode: z.number().int().nullable(),
  signal: z.string().nullable(),
  /** Whether what it printed names the error that the server gave it; null without an error. */
  toldError: z.boolean().nullable(),
  /** The last error that the server sent to it, whatever it made of it. */
  lastError: PgError.nullable(),
  sessions: z.array(
    z.object({
      ordinal: z.number().int(),
      pid: z.number().int(),
      applicationName: z.string(),
      startMs: z.number(),
      endMs: z.number().nullable(),
      /** Why it ended other than by saying goodbye. */
      trouble: z.string().nullable(),
    }),
  ),
  messages: z.array(ToolMessage),
  /** Messages beyond the 2,000 that are listed. */
  messagesNotListed: z.number().int(),
  /** The tool's journal, before against after; null where it has none that is known. */
  journal: z
    .object({
      /** Pending migrations that it says are applied now. */
      added: z.array(z.string()),
      /** Pending migrations that it does not. */
      missing: z.array(z.string()),
      /** Why the tool will refuse to run the next time; null when it will not. */
      refuses: z.string().nullable(),
    })
    .nullable(),
})
export type ToolRun = z.infer<typeof ToolRun>

export const MigrationRun = z.object({
  startMs: z.number(),
  endMs: z.number(),
  outcome: Outcome,
  /** The statement that failed, when one did. */
  failedStatement: z.string().nullable(),
  /** True when the harness stopped it because the longest permitted duration was over. */
  timedOut: z.boolean(),
  /** In the order in which they were sent. One that was tried again is there once for each try, in another transaction. */
  statements: z.array(StatementRun),
  transactions: z.array(TransactionRun),
  /** null where the files were run as plain SQL. */
  tool: ToolRun.nullable().default(null),
})
export type MigrationRun = z.infer<typeof MigrationRun>

// ── State of the database after a pass ──────────────────────────────────────────────────────────────────────────────

export const Leftovers = z.object({
  /** Only those that were not there before the migration. */
  invalidIndexes: z.array(z.object({ index: z.string(), table: z.string() })),
  notValidConstraints: z.array(z.object({ constraint: z.string(), table: z.string() })),
  /** When the migration failed: statements whose effect is committed and stays. */
  halfApplied: z.array(z.string()),
})
export type Leftovers = z.infer<typeof Leftovers>

export const DataCheck = z.object({
  name: z.string(),
  line: z.number().int(),
  /** Rows the check returned (counted up to 1,000,000); null when it could not run. */
  rowsBefore: z.number().nullable(),
  rowsAfter: z.number().nullable(),
  /** Why the check could not run after the migration. */
  error: PgError.nullable(),
})
export type DataCheck = z.infer<typeof DataCheck>

// ── Quiet pass ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** A schema state that sessions can meet: before, after each committed transaction, after the rollback. */
export const SchemaState = z.object({
  id: z.string(),
  label: z.string(),
  kind: z.enum(['before', 'during', 'after', 'rolled-back']),
  /** The last statement that is part of this state; null for `before` and `rolled-back`. */
  statement: z.string().nullable(),
})
export type SchemaState = z.infer<typeof SchemaState>

export const CompatCell = z.object({
  release: Release,
  operation: z.string(),
  state: z.string(),
  /** Sent anew (parsed on this state). */
  fresh: Outcome,
  /** Prepared on the state before the migration and executed on this one; null when the operation is not prepared. */
  prepared: Outcome.nullable(),
})
export type CompatCell = z.infer<typeof CompatCell>

/** A relation and the strongest lock mode that one operation takes on it, learnt by running it once in the quiet pass. */
export const OperationLock = z.object({
  release: Release,
  operation: z.string(),
  relation: z.string(),
  kind: RelationKind,
  table: z.string(),
  mode: LockMode,
})
export type OperationLock = z.infer<typeof OperationLock>

export const Rollback = z.object({
  file: z.string(),
  run: MigrationRun,
  /** What of the old release still fails after it is in `compat`, state `rolled-back`. */
  dataChecks: z.array(DataCheck),
})
export type Rollback = z.infer<typeof Rollback>

/** Durations of one operation's statements, one session, nothing else running. COMMIT is not in them. */
export const Timing = z.object({ samples: z.number().int(), medianMs: z.number(), madMs: z.number() })
export type Timing = z.infer<typeof Timing>

/** One node of a plan, from EXPLAIN (ANALYZE, BUFFERS). No values, no costs, no conditions. */
export const PlanNode = z.object({
  /** `Seq Scan`, `Index Only Scan`, `Sort`, `Hash Join`... */
  node: z.string(),
  /** By its name before the migration, where it existed then. */
  relation: z.string().nullable(),
  index: z.string().nullable(),
  /** Depth in the plan's tree, 0 for its root. */
  depth: z.number().int(),
  /** Rows that came out of it and rows that were expected, per loop. `rows` is null when it never ran. */
  rows: z.number().nullable(),
  expectedRows: z.number().nullable(),
  /** Rows that it looked at in all loops, those that its filter removed included; null when it never ran. */
  rowsRead: z.number().nullable().default(null),
})
export type PlanNode = z.infer<typeof PlanNode>

export const Plan = z.object({
  nodes: z.array(PlanNode),
  /** Pages of all nodes: found in memory, and read. */
  pagesHit: z.number().nullable(),
  pagesRead: z.number().nullable(),
  temporaryPages: z.number().nullable(),
})
export type Plan = z.infer<typeof Plan>

/** One way in which a plan is another one. */
export const PlanChange = z.object({
  kind: z.enum([
    'sequential scan',
    'index gone',
    'index not used',
    'index used',
    'sort',
    'nested loop',
    'statistics',
    'estimate',
    'temporary files',
    'other',
  ]),
  relation: z.string().nullable(),
  index: z.string().nullable(),
  /** In the field's words: `index orders_user_id_idx is no longer used`, `new sequential scan of orders`. */
  text: z.string(),
})
export type PlanChange = z.infer<typeof PlanChange>

export const PlanComparison = z.object({
  /** Position among the operation's statements, from 0. */
  statement: z.number().int(),
  before: Plan,
  after: Plan.nullable(),
  /** After VACUUM ANALYZE. */
  settled: Plan.nullable(),
  /** What is different right after the migration. */
  changes: z.array(PlanChange),
  /** What is different after VACUUM ANALYZE: it lasts. Empty, too, when `settled` is null. */
  lasting: z.array(PlanChange),
})
export type PlanComparison = z.infer<typeof PlanComparison>

/**
 * The median of the ratios of the rounds' medians, and the interval in which the true median lies with at least 95 %:
 * two order statistics of the rounds' ratios (the interval of the sign test; no distribution is supposed). In each round
 * both copies are measured, so that what slows the machine slows both.
 */
export const TimingRatio = z.object({
  value: z.number(),
  low: z.number(),
  high: z.number(),
  rounds: z.number().int(),
})
export type TimingRatio = z.infer<typeof TimingRatio>

/** An operation before and after the migration. */
export const QueryTiming = z.object({
  release: Release,
  operation: z.string(),
  /** null when it does not work before the migration, or was not timed: see `reason`. */
  before: Timing.nullable(),
  /** null when it does not work after the migration. */
  after: Timing.nullable(),
  /** Again after VACUUM ANALYZE; always where `after` looked slow or the plan changed, elsewhere as time permits. */
  settled: Timing.nullable(),
  /** Whether a plan has other nodes, relations or indexes; null without plans of both sides. */
  planChanged: z.boolean().nullable(),
  /** after / before; null when both were not measured in alternating rounds. */
  ratio: TimingRatio.nullable().default(null),
  settledRatio: TimingRatio.nullable().default(null),
  /** Per statement of the operation that has a plan. */
  plans: z.array(PlanComparison).default([]),
  /** Why `before` or `after` is null. */
  reason: z.string().nullable().default(null),
})
export type QueryTiming = z.infer<typeof QueryTiming>

export const QuietPass = z.object({
  kind: z.literal('quiet'),
  /** How the copy was made, e.g. `reflink` or `copy`. */
  copiedBy: z.string(),
  migration: MigrationRun,
  states: z.array(SchemaState),
  compat: z.array(CompatCell),
  operationLocks: z.array(OperationLock),
  timings: z.array(QueryTiming),
  leftovers: Leftovers,
  dataChecks: z.array(DataCheck),
  rollback: Rollback.nullable(),
  warnings: z.array(z.string()),
})
export type QuietPass = z.infer<typeof QuietPass>

// ── Timed pass ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const Phase = z.object({ name: PhaseName, startMs: z.number(), endMs: z.number() })
export type Phase = z.infer<typeof Phase>

/** One lock of the migration on one relation: asked for, granted, released. */
export const LockSpan = z.object({
  id: z.string(),
  relation: z.string(),
  kind: RelationKind,
  table: z.string(),
  mode: LockMode,
  existedBefore: z.boolean(),
  /** The statement that took it and the transaction that held it. */
  statement: z.string(),
  transaction: z.number().int(),
  askedMs: Bracket,
  /** null when it was never granted. */
  grantedMs: Bracket.nullable(),
  releasedMs: Bracket,
  /** released - granted; null when never granted. */
  heldMs: Bracket.nullable(),
  /** granted - asked (or given up - asked). */
  waitedMs: Bracket,
  how: z.enum(['client stamps', 'client stamps and sampler', 'sampler']),
  /** Statement classes that this mode blocks on a table: see lock-modes.ts. */
  blocksReads: z.boolean(),
  blocksWrites: z.boolean(),
})
export type LockSpan = z.infer<typeof LockSpan>

/** One wait of one traffic session for a lock. */
export const Wait = z.object({
  release: Release,
  operation: z.string(),
  /** Connection number within the release, from 1. */
  connection: z.number().int(),
  /** What was waited for: `relation`, `transactionid`, `tuple`, `virtualxid`, `advisory`... as in pg_locks.locktype. */
  lockType: z.string(),
  relation: z.string().nullable(),
  mode: z.string(),
  startMs: Bracket,
  endMs: Bracket,
  waitedMs: Bracket,
  /** The migration's statement at the root of the queue: it held, or itself waited for, what this session needed. */
  behind: z.string().nullable(),
  /** 1 = directly behind the root, 2 = behind a session that was behind it... */
  depth: z.number().int(),
  /** How the wait ended. */
  end: z.enum(['granted', 'error', 'end of pass']),
})
export type Wait = z.infer<typeof Wait>

/** Everybody who waited behind one statement of the migration. */
export const BlockedGroup = z.object({
  statement: z.string(),
  /** Distinct sessions. */
  sessions: z.number().int(),
  waits: z.number().int(),
  longestMs: Bracket,
  /** Sum over all waits. */
  totalMs: Bracket,
  by: z.array(
    z.object({
      release: Release,
      operation: z.string(),
      relation: z.string().nullable(),
      mode: z.string(),
      sessions: z.number().int(),
      waits: z.number().int(),
      longestMs: Bracket,
      totalMs: Bracket,
    }),
  ),
  /** The queue at its longest, as pg_locks and pg_blocking_pids showed it. */
  worst: z.object({
    atMs: z.number(),
    sessions: z.array(
      z.object({
        /** `migration`, `old #3 get_user`, or another session's application name. */
        name: z.string(),
        lockType: z.string(),
        relation: z.string().nullable(),
        mode: z.string(),
        waitingMs: z.number().nullable(),
        /** Indexes into this list; empty for the root. */
        blockedBy: z.array(z.number().int()),
      }),
    ),
  }),
})
export type BlockedGroup = z.infer<typeof BlockedGroup>

/**
 * The migration waiting for something else than a relation lock of its statements, e.g. CONCURRENTLY for old snapshots. In
 * disturbance passes its waits for relation locks are listed as well.
 */
export const MigrationWait = z.object({
  statement: z.string(),
  lockType: z.string(),
  relation: z.string().nullable(),
  mode: z.string(),
  startMs: Bracket,
  endMs: Bracket,
  waitedMs: Bracket,
  /** Who it waited for, as `old get_user`, or another session's application name. */
  waitedFor: z.array(z.string()),
})
export type MigrationWait = z.infer<typeof MigrationWait>

/** Exact nearest-rank percentiles of the samples. `p95Ms` needs 20 samples, `p99Ms` 100; otherwise null. */
export const Percentiles = z.object({
  samples: z.number().int(),
  p50Ms: z.number(),
  p95Ms: z.number().nullable(),
  p99Ms: z.number().nullable(),
  maxMs: z.number(),
})
export type Percentiles = z.infer<typeof Percentiles>

export const TrafficRow = z.object({
  release: Release,
  operation: z.string(),
  phase: PhaseName,
  /** Arrivals whose intended start lies in the phase. scheduled = completed + failed + dropped. */
  scheduled: z.number().int(),
  completed: z.number().int(),
  failed: z.number().int(),
  /** Never started: the queue was full (10 s of arrivals), or the pass ended first. */
  dropped: z.number().int(),
  /** Completed, but only because the driver silently prepared the statement again after 0A000. */
  reprepared: z.number().int(),
  /** Completed or failed after the application had tried again (40001, 40P01). */
  retried: z.number().int().default(0),
  /** Of the failed: gave up waiting for a connection of the pool (`POOL`). */
  gaveUp: z.number().int().default(0),
  /** From the intended start to the end, queueing for a connection included. */
  latency: Percentiles.nullable(),
  /** From the actual start to the end. */
  service: Percentiles.nullable(),
})
export type TrafficRow = z.infer<typeof TrafficRow>

export const TrafficError = z.object({
  release: Release,
  operation: z.string(),
  error: PgError,
  /** Errors per phase; a phase without any is absent. */
  phases: z.partialRecord(PhaseName, z.number().int()),
  count: z.number().int(),
  firstMs: z.number(),
  lastMs: z.number(),
  /** True when the driver retried it silently (0A000 outside a transaction), so that the user saw no error. */
  hidden: z.boolean(),
})
export type TrafficError = z.infer<typeof TrafficError>

/** Traffic of one release in equal slices of time, as columns of equal length. Bucket i starts at i * widthMs. */
export const TrafficSeries = z.object({
  release: Release,
  /** By intended start. */
  scheduled: z.array(z.number()),
  /** By end. */
  completed: z.array(z.number()),
  failed: z.array(z.number()),
  dropped: z.array(z.number()),
  /** Latency from the intended start of operations that ended in the bucket; null without any. */
  p50Ms: z.array(z.number().nullable()),
  p99Ms: z.array(z.number().nullable()),
  maxMs: z.array(z.number().nullable()),
  /** Most sessions seen waiting for a lock at once; null where the sampler did not look. */
  blocked: z.array(z.number().nullable()),
})
export type TrafficSeries = z.infer<typeof TrafficSeries>

export const Deadlock = z.object({
  atMs: z.number(),
  /** Who got 40P01. */
  victim: z.string(),
  /** Everybody in the cycle, as `migration` or `old get_user`. */
  participants: z.array(z.string()),
  involvesMigration: z.boolean(),
  statement: z.string().nullable(),
})
export type Deadlock = z.infer<typeof Deadlock>

export const GeneratorHealth = z.object({
  ratePerSecond: z.number(),
  connections: z.number().int(),
  /** Actual minus intended dispatch of arrivals in the baseline. */
  lagP50Ms: z.number().nullable(),
  lagP99Ms: z.number().nullable(),
  /** Share of the baseline in which the event loop was busy, 0 to 1. */
  eventLoopUtilisation: z.number().nullable(),
  /** Longest queue for a connection in the baseline. */
  baselineMaxQueue: z.number().int().nullable(),
  baselineDropped: z.number().int(),
  /** Every phase. Lag is null where nothing was due. */
  phases: z
    .array(
      z.object({
        name: PhaseName,
        scheduled: z.number().int(),
        lagP50Ms: z.number().nullable(),
        lagP99Ms: z.number().nullable(),
        eventLoopUtilisation: z.number(),
        /** Longest queue for a connection of one release. */
        maxQueue: z.number().int(),
      }),
    )
    .default([]),
})
export type GeneratorHealth = z.infer<typeof GeneratorHealth>

export const SamplerHealth = z.object({
  periodMs: z.number(),
  polls: z.number().int(),
  pollP50Ms: z.number().nullable(),
  /** Longest time between two looks while the migration ran. */
  maxGapMs: z.number().nullable(),
  /** Half width of the bracket in which the server clock's offset to ours is known. */
  clockErrorMs: z.number().nullable(),
})
export type SamplerHealth = z.infer<typeof SamplerHealth>

/** A program whose own queries are the traffic of a release: each time it was started. */
export const ProgramRun = z.object({
  release: Release,
  /** `serve` is the program itself, `load` what makes it work. */
  role: z.enum(['serve', 'load']),
  /** As the user wrote it. */
  command: z.string(),
  startMs: z.number(),
  endMs: z.number(),
  /** null when it was stopped by us, or by a signal. */
  exitCode: z.number().int().nullable(),
  /** Whether it ended before it was told to. */
  byItself: z.boolean(),
  /** Sessions that it opened. */
  sessions: z.number().int(),
  /** Whether the program worked (answered, or had connected) before the pass ended; of a load, that of what it makes work. */
  ready: z.boolean().default(true),
  /** Connections that it wanted and did not get, and where to: never production. */
  refused: z.array(z.string()),
})
export type ProgramRun = z.infer<typeof ProgramRun>

/** How the application treats its connections. */
export const Manners = z.object({
  /** Connections of each release. */
  poolSize: z.number().int(),
  /** How long a request waits for a connection before it gives up; null for as long as it takes. */
  queueTimeoutMs: z.number().nullable(),
  pooling: z.enum(['session', 'transaction']),
  /** Tries after the first one, and the errors that are tried again. */
  retries: z.number().int(),
  retryOn: z.array(z.string()),
  /** Settings of the application's sessions: timeouts and the like. */
  settings: z.record(z.string(), z.string()),
})
export type Manners = z.infer<typeof Manners>

export const TimedPass = z.object({
  kind: z.literal('timed'),
  manners: Manners.nullable().default(null),
  programs: z.array(ProgramRun).default([]),
  copiedBy: z.string(),
  phases: z.array(Phase),
  migration: MigrationRun,
  locks: z.array(LockSpan),
  waits: z.array(Wait),
  /** Waits beyond the 5,000 that are listed. */
  waitsNotListed: z.number().int(),
  blocked: z.array(BlockedGroup),
  migrationWaits: z.array(MigrationWait),
  traffic: z.array(TrafficRow),
  errors: z.array(TrafficError),
  bucketMs: z.number(),
  series: z.array(TrafficSeries),
  deadlocks: z.array(Deadlock),
  leftovers: Leftovers,
  dataChecks: z.array(DataCheck),
  generator: GeneratorHealth,
  sampler: SamplerHealth,
  warnings: z.array(z.string()),
})
export type TimedPass = z.infer<typeof TimedPass>

// ── Race pass ───────────────────────────────────────────────────────────────────────────────────────────────────────

/** The migration tool started twice at once, as two instances of a rolling deploy do. */
export const RacePass = z.object({
  kind: z.literal('race'),
  copiedBy: z.string(),
  /** In the order in which they first sent something. */
  runs: z.array(
    z.object({
      startMs: z.number(),
      endMs: z.number(),
      exitCode: z.number().int().nullable(),
      error: PgError.nullable(),
      /** Longest time that one message waited for an answer while the other run was under way. */
      waitedMs: z.number(),
      /** Statements whose effect it committed. */
      committed: z.array(z.string()),
    }),
  ),
  /**
   * `waited`: the second waited for the first and then found nothing to do. `refused`: it gave up without having
   * changed anything. `nothing to do`: it came too late to meet the first. `applied twice`: statements were committed by
   * both. `broke`: it failed in the middle, by an error of the server, and left nothing. `both failed`: none succeeded.
   */
  outcome: z.enum(['waited', 'refused', 'nothing to do', 'applied twice', 'broke', 'both failed']),
  /** Statements that both committed. */
  twice: z.array(z.string()),
  /** Journal rows per migration, where there are more than one. */
  journalRows: z.array(z.object({ name: z.string(), rows: z.number().int() })),
  warnings: z.array(z.string()),
})
export type RacePass = z.infer<typeof RacePass>

// ── Disturbance passes ──────────────────────────────────────────────────────────────────────────────────────────────

/** What else goes on in production while a migration runs. */
export const DisturbanceKind = z.enum(['long-read', 'idle-in-transaction', 'dump', 'vacuum', 'prepared-transaction'])
export type DisturbanceKind = z.infer<typeof DisturbanceKind>

/** A short timed pass of the old release's traffic with one disturbance in it. */
export const DisturbancePass = TimedPass.extend({
  kind: z.literal('disturbance'),
  disturbance: z.object({
    kind: DisturbanceKind,
    /** What it did, as `a transaction that read orders and stayed open`. */
    text: z.string(),
    /** Tables that it had locks on, and in which mode. */
    locks: z.array(z.object({ relation: z.string(), mode: LockMode })),
    pid: z.number().int().nullable(),
    startMs: z.number(),
    /** When it ended: by itself at its time, because the migration or a lock timeout of its own ended it, or with the pass. */
    endMs: z.number(),
    /** How long it was to last after the migration had begun. */
    lastsMs: z.number(),
    ended: z.enum(['by itself', 'canceled', 'end of pass']),
    error: PgError.nullable(),
  }),
  /** Each try of the migration: its own retries on 55P03 included. The last one is `migration`. */
  tries: z.array(
    z.object({ startMs: z.number(), endMs: z.number(), outcome: Outcome, statement: z.string().nullable() }),
  ),
})
export type DisturbancePass = z.infer<typeof DisturbancePass>

export const Pass = z.discriminatedUnion('kind', [QuietPass, TimedPass, RacePass, DisturbancePass])
export type Pass = z.infer<typeof Pass>

// ── The recording ───────────────────────────────────────────────────────────────────────────────────────────────────

/** Limits by metric; see judge/budgets.ts for what each one means. Milliseconds, or a ratio. */
export const Budgets = z.record(z.string(), z.object({ warn: z.number().nullable(), fail: z.number().nullable() }))
export type Budgets = z.infer<typeof Budgets>

export const OperationInfo = z.object({
  release: Release,
  name: z.string(),
  weight: z.number(),
  prepared: z.boolean(),
  file: z.string(),
  line: z.number().int(),
  /** The operation's statements with every literal replaced by a placeholder. */
  sql: z.array(z.string()),
  /** Where it comes from: files of the user, the schema, production's statistics, or a program's own queries. */
  source: z.enum(['declared', 'derived', 'production', 'program']).default('declared'),
  /** Its own arrival rate, 1/s at full traffic; null when it shares the release's by weight. */
  ratePerSecond: z.number().nullable().default(null),
  /** The table that a derived operation is about. */
  table: z.string().nullable().default(null),
})
export type OperationInfo = z.infer<typeof OperationInfo>

export const Environment = z.object({
  tool: z.string(),
  node: z.string(),
  os: z.string(),
  cpus: z.number().int(),
  memoryBytes: z.number(),
  ci: z.string().nullable(),
  git: z.string().nullable(),
  startedAt: z.string(),
  commandLine: z.string(),
  provider: z.string(),
  postgres: z.string(),
  serverVersion: z.number().int(),
  encoding: z.string(),
  collation: z.string(),
  settings: z.record(z.string(), z.string()),
  databaseBytes: z.number(),
  /** Tables before the migration, largest first. */
  relations: z.array(z.object({ relation: z.string(), kind: RelationKind, rows: z.number(), bytes: z.number() })),
  /** Median round trip of an empty statement on this machine. */
  roundTripMs: z.number().nullable(),
  roles: z.object({ migrate: z.string(), app: z.string() }),
})
export type Environment = z.infer<typeof Environment>

/** Where a release's traffic comes from, and what of the application it stands for. */
export const TrafficOrigin = z.object({
  release: Release,
  source: z.enum(['declared', 'derived', 'production', 'program']),
  /** One sentence: `derived from the schema before the migration: 41 operations on 9 tables`. */
  text: z.string(),
  /** Derived: tables and columns of the schema, and how many of them the operations touch. */
  tables: z
    .object({ all: z.number().int(), read: z.number().int(), inserted: z.number().int(), updated: z.number().int() })
    .nullable(),
  columns: z.object({ all: z.number().int(), touched: z.number().int() }).nullable(),
  /** From production's statements: calls and statements, and how many of them are played. */
  coverage: z
    .object({
      calls: z.number(),
      callsPlayed: z.number(),
      statements: z.number().int(),
      statementsPlayed: z.number().int(),
    })
    .nullable(),
  /** What is not played, and why. SQL is normalised. */
  leftOut: z.array(z.object({ what: z.string(), calls: z.number().nullable(), reason: z.string() })),
})
export type TrafficOrigin = z.infer<typeof TrafficOrigin>

/** Something that the tool does not tell its user, known from its files and its journal. */
export const ToolNote = z.object({
  /**
   * `skipped`: the tool will never run it. `unlisted`: its journal does not name it. `impossible`: it cannot succeed in
   * this tool. `blocked`: a way round the rehearsal that was closed. `order`: runs in an order that is not checked.
   */
  kind: z.enum(['skipped', 'unlisted', 'impossible', 'blocked', 'order', 'other']),
  file: z.string().nullable(),
  line: z.number().int().nullable(),
  message: z.string(),
  advice: z.string().nullable(),
})
export type ToolNote = z.infer<typeof ToolNote>

/** The team's migration tool, as it was found in the project. */
export const MigrationTool = z.object({
  tool: z.enum(['drizzle', 'node-pg-migrate', 'prisma', 'supabase', 'command']),
  /** For people: `Drizzle (journal layout)`. */
  title: z.string(),
  version: z.string().nullable(),
  /** As it was started. */
  command: z.string(),
  how: z.enum(['program', 'replay']),
  /** Why its messages were sent by us instead; null for a program. */
  why: z.string().nullable(),
  folder: z.string(),
  /** Its journal table. */
  journal: z.string().nullable(),
  /** How it is known which migrations are pending, as in `migrations added since origin/main`. */
  pendingBy: z.string(),
  notes: z.array(ToolNote),
})
export type MigrationTool = z.infer<typeof MigrationTool>

export const Recording = z.object({
  kind: z.literal('recording'),
  schemaVersion: z.string(),
  name: z.string(),
  /** False when the run was interrupted or could not go on: `stopped` says why. */
  complete: z.boolean(),
  stopped: z.object({ code: z.string(), message: z.string() }).nullable(),
  /** Fixes data and traffic. */
  seed: z.number().int(),
  rows: z.number().int(),
  /** Rows per table in production as stated by the scenario or the profile. */
  productionRows: z.record(z.string(), z.number()),
  budgets: Budgets,
  environment: Environment.nullable(),
  /** Tables whose rows the harness made up from nothing but the schema; also those that stayed empty because it could not. */
  generated: z.array(z.string()).default([]),
  operations: z.array(OperationInfo),
  traffic: z.array(TrafficOrigin).default([]),
  /**
   * Columns (and whole tables, with `column` null) that the migration drops. `place`: file:line of the running release's
   * code, at `ref`, that names them; null when none does. `ref` is null when that code could not be looked at.
   */
  takenAway: z
    .object({
      ref: z.string().nullable(),
      objects: z.array(z.object({ table: z.string(), column: z.string().nullable(), place: z.string().nullable() })),
    })
    .nullable()
    .default(null),
  /** null where the files were run as plain SQL. */
  tool: MigrationTool.nullable().default(null),
  migrations: z.array(MigrationFile),
  passes: z.array(Pass),
  /** What was taken for granted, in plain sentences. */
  assumptions: z.array(z.string()),
  warnings: z.array(z.string()),
})
export type Recording = z.infer<typeof Recording>

// ── The report ──────────────────────────────────────────────────────────────────────────────────────────────────────

export const Verdict = z.enum(['pass', 'warn', 'fail', 'inconclusive'])
export type Verdict = z.infer<typeof Verdict>

export const Severity = z.enum(['fail', 'warn', 'inconclusive', 'info'])
export type Severity = z.infer<typeof Severity>

/** A duration carried to production's size: labelled as such wherever it is shown. */
export const Projection = z.object({
  relation: z.string(),
  work: z.enum(['rewrite', 'scan', 'index build', 'rows written']),
  rowsHere: z.number(),
  rowsInProduction: z.number(),
  measuredMs: z.number(),
  lowMs: z.number(),
  highMs: z.number(),
})
export type Projection = z.infer<typeof Projection>

export const Finding = z.object({
  rule: z.string(),
  severity: Severity,
  /** One sentence that stands alone. */
  title: z.string(),
  /** What was measured here, in sentences. */
  evidence: z.array(z.string()),
  at: z.object({ file: z.string(), line: z.number().int(), statement: z.string() }).nullable(),
  relation: z.string().nullable(),
  projection: Projection.nullable(),
  advice: z.object({ text: z.string(), sql: z.string().nullable() }).nullable(),
})
export type Finding = z.infer<typeof Finding>

export const BudgetResult = z.object({
  metric: z.string(),
  label: z.string(),
  unit: z.enum(['ms', 'ratio']),
  warn: z.number().nullable(),
  fail: z.number().nullable(),
  /** The worst value measured; null when nothing of the kind was measured. */
  measured: z.number().nullable(),
  /** Bound of the measured value. */
  low: z.number().nullable(),
  high: z.number().nullable(),
  /** The worst value projected to production's size. */
  projected: Projection.nullable(),
  worstAt: z.string().nullable(),
  status: z.enum(['ok', 'warn', 'fail', 'not measured']),
})
export type BudgetResult = z.infer<typeof BudgetResult>

export const RelationSummary = z.object({
  relation: z.string(),
  kind: RelationKind,
  strongest: LockMode,
  statement: z.string(),
  /** By lock mode: would a SELECT, would a write wait on this relation while the lock is held. */
  blocksReads: z.boolean(),
  blocksWrites: z.boolean(),
  /** As measured in the timed pass; null when the lock was not met there. */
  heldMs: Bracket.nullable(),
  waitedMs: Bracket.nullable(),
  sessionsBlocked: z.number().int().nullable(),
  longestWaitMs: Bracket.nullable(),
  blockedTotalMs: Bracket.nullable(),
})
export type RelationSummary = z.infer<typeof RelationSummary>

export const Report = z.object({
  kind: z.literal('report'),
  schemaVersion: z.string(),
  verdict: Verdict,
  headline: z.string(),
  budgets: z.array(BudgetResult),
  findings: z.array(Finding),
  /** Strongest lock per relation that existed before, worst first. */
  relations: z.array(RelationSummary),
  recording: Recording,
})
export type Report = z.infer<typeof Report>
