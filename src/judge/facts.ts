/** The recording, indexed for the rules: derived once, no opinions. Pure. */
import type {
  CompatCell,
  DisturbancePass,
  LockMode,
  LockSpan,
  LockTaken,
  MigrationRun,
  OperationLock,
  QuietPass,
  RacePass,
  Recording,
  SchemaState,
  Statement,
  StatementRun,
  TimedPass,
  TransactionRun,
} from '../recording.js'
import { conflicts, strength } from '../sql/lock-modes.js'

export interface Facts {
  recording: Recording
  quiet: QuietPass | null
  timed: TimedPass | null
  /** The tool started twice at once. */
  race: RacePass | null
  /** In the order in which they were made. Never judged as the timed pass is. */
  disturbances: DisturbancePass[]
  statement: (id: string) => Statement | null
  /** Operations whose own lock on the relation conflicts with the mode. */
  conflicting: (relation: string, mode: LockMode) => OperationLock[]
  /** Transactions of the quiet pass with the conflicting locks that each statement ran under. */
  underLock: UnderLock[]
  quietRun: (statement: string) => StatementRun | null
  timedRun: (statement: string) => StatementRun | null
  spansOf: (statement: string) => LockSpan[]
  productionRows: (relation: string) => number | null
  rowsHere: (relation: string) => number | null
  finalState: SchemaState | null
  cell: (release: 'old' | 'new', operation: string, state: string) => CompatCell | null
  at: (statement: string | null) => { file: string; line: number; statement: string } | null
}

/** One statement that ran while its transaction held a lock that conflicts with traffic. */
export interface UnderLock {
  run: StatementRun
  transaction: TransactionRun
  lock: LockTaken
  /** The statement that took the lock. */
  takenBy: string
  operations: OperationLock[]
}

export function readFacts(recording: Recording): Facts {
  const statements = new Map(recording.migrations.flatMap((file) => file.statements.map((s) => [s.id, s] as const)))
  // What a tool does for its own bookkeeping is the tool's; only what stands in a migration is judged.
  const judged = (id: string): boolean => recording.tool === null || statements.has(id)
  const quietPass = recording.passes.find((pass): pass is QuietPass => pass.kind === 'quiet')
  const timedPass = recording.passes.findLast((pass): pass is TimedPass => pass.kind === 'timed')
  const quiet = quietPass ? { ...quietPass, migration: onlyJudged(quietPass.migration, judged) } : null
  const underTraffic = <Pass extends TimedPass | DisturbancePass>(pass: Pass): Pass => ({
    ...pass,
    migration: onlyJudged(pass.migration, judged),
    locks: pass.locks.filter((span) => judged(span.statement)),
    blocked: pass.blocked.filter((group) => judged(group.statement)),
    migrationWaits: pass.migrationWaits.filter((wait) => judged(wait.statement)),
  })
  const timed = timedPass ? underTraffic(timedPass) : null
  const conflicting = (relation: string, mode: LockMode): OperationLock[] =>
    (quiet?.operationLocks ?? []).filter((lock) => lock.relation === relation && conflicts(lock.mode, mode))
  const states = quiet?.states.filter((state) => state.kind !== 'rolled-back') ?? []
  return {
    recording,
    quiet,
    timed,
    race: recording.passes.findLast((pass): pass is RacePass => pass.kind === 'race') ?? null,
    disturbances: recording.passes.flatMap((pass) => (pass.kind === 'disturbance' ? [underTraffic(pass)] : [])),
    statement: (id) => statements.get(id) ?? null,
    conflicting,
    underLock: quiet ? statementsUnderLock(quiet, conflicting) : [],
    quietRun: (id) => quiet?.migration.statements.findLast((run) => run.statement === id) ?? null,
    // The last try counts.
    timedRun: (id) => timed?.migration.statements.findLast((run) => run.statement === id) ?? null,
    spansOf: (id) => timed?.locks.filter((span) => span.statement === id) ?? [],
    productionRows: (relation) => recording.productionRows[relation] ?? null,
    rowsHere: (relation) => recording.environment?.relations.find((r) => r.relation === relation)?.rows ?? null,
    finalState: states.at(-1) ?? null,
    cell: (release, operation, state) =>
      quiet?.compat.find((c) => c.release === release && c.operation === operation && c.state === state) ?? null,
    at: (id) => {
      const statement = id === null ? null : statements.get(id)
      return statement ? { file: statement.file, line: statement.line, statement: statement.id } : null
    },
  }
}

const onlyJudged = (run: MigrationRun, judged: (id: string) => boolean): MigrationRun => ({
  ...run,
  statements: run.statements.filter((one) => judged(one.statement)),
  transactions: run.transactions.map((one) => ({ ...one, statements: one.statements.filter(judged) })),
})

/** For each statement, the strongest conflicting lock that it took itself or that its transaction held already. */
function statementsUnderLock(quiet: QuietPass, conflicting: Facts['conflicting']): UnderLock[] {
  const result: UnderLock[] = []
  for (const transaction of quiet.migration.transactions) {
    const held: { lock: LockTaken; takenBy: string; operations: OperationLock[] }[] = []
    for (const id of transaction.statements) {
      const run = quiet.migration.statements.find((r) => r.statement === id)
      if (!run) continue
      for (const lock of run.work?.locks ?? []) {
        if (!lock.existedBefore) continue
        const operations = conflicting(lock.relation, lock.mode)
        if (operations.length > 0) held.push({ lock, takenBy: id, operations })
      }
      const strongest = [...held].sort((a, b) => strength(b.lock.mode) - strength(a.lock.mode))[0]
      if (strongest) result.push({ run, transaction, ...strongest })
    }
  }
  return result
}
