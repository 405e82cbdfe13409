/** What every output asks a report: lookups and orders that are not in the data as such. Pure. */
import type {
  Environment,
  BlockedGroup,
  BudgetResult,
  DisturbancePass,
  Finding,
  LockMode,
  LockSpan,
  QuietPass,
  RacePass,
  Report,
  Severity,
  Statement,
  StatementRun,
  TimedPass,
  Verdict,
} from '../recording.js'
import { LockMode as LockModes } from '../recording.js'
import { plural } from '../units.js'

/** One statement with everything that is known of it. `number` is its number in the timeline and the table. */
export interface StatementView {
  number: number
  statement: Statement
  quiet: StatementRun | null
  /** Of several tries the last. */
  timed: StatementRun | null
  /** How often it was run in the timed pass. */
  tries: number
  /** The strongest lock that it took on a relation that existed before; on any relation when there is none. */
  strongest: { mode: LockMode; relation: string; existedBefore: boolean } | null
  /** Its lock spans in the timed pass, longest hold first, existing relations before new ones. */
  spans: LockSpan[]
  blocked: BlockedGroup | null
}

export interface View {
  report: Report
  quiet: QuietPass | null
  timed: TimedPass | null
  race: RacePass | null
  disturbances: DisturbancePass[]
  statements: StatementView[]
  byId: ReadonlyMap<string, StatementView>
}

const strength = (mode: LockMode): number => LockModes.options.indexOf(mode)

/** Whether traffic of the application can wait for a lock: it is on a relation that existed and blocks reads or writes. */
export const conflicts = (span: LockSpan): boolean => span.existedBefore && (span.blocksReads || span.blocksWrites)

const held = (span: LockSpan): number => span.heldMs?.highMs ?? 0

const strongest = (locks: readonly { mode: LockMode; relation: string; table: string; existedBefore: boolean }[]) =>
  [...locks].sort(
    (a, b) =>
      Number(b.existedBefore) - Number(a.existedBefore) ||
      strength(b.mode) - strength(a.mode) ||
      Number(b.relation === b.table) - Number(a.relation === a.table),
  )[0] ?? null

/** Prepares a report for rendering. */
export const viewOf = (report: Report): View => {
  const { passes, migrations } = report.recording
  const quiet = passes.find((pass) => pass.kind === 'quiet') ?? null
  // The last one counts: an earlier one was repeated because its generator could not keep up.
  const timed = passes.findLast((pass) => pass.kind === 'timed') ?? null
  const race = passes.findLast((pass) => pass.kind === 'race') ?? null
  const disturbances = passes.filter((pass) => pass.kind === 'disturbance')
  const statements = migrations
    .flatMap((file) => file.statements)
    .map((statement, i): StatementView => {
      const run = (pass: QuietPass | TimedPass | null): StatementRun | null =>
        pass?.migration.statements.findLast((one) => one.statement === statement.id) ?? null
      const spans = (timed?.locks ?? [])
        .filter((span) => span.statement === statement.id)
        .sort((a, b) => Number(conflicts(b)) - Number(conflicts(a)) || held(b) - held(a))
      const inQuiet = run(quiet)
      return {
        number: i + 1,
        statement,
        quiet: inQuiet,
        timed: run(timed),
        tries: timed?.migration.statements.filter((one) => one.statement === statement.id).length ?? 0,
        strongest: strongest([...(inQuiet?.work?.locks ?? []), ...spans]),
        spans,
        blocked: timed?.blocked.find((group) => group.statement === statement.id) ?? null,
      }
    })
  return {
    report,
    quiet,
    timed,
    race,
    disturbances,
    statements,
    byId: new Map(statements.map((one) => [one.statement.id, one])),
  }
}

/**
 * The last part of a path, for tables; the whole path is shown where there is room. Of tools that call every file
 * `migration.sql` the folder is what tells one from another.
 */
export const fileName = (path: string): string =>
  path
    .split('/')
    .slice(/(?:^|\/)migration\.sql(?::\d+)?$/.test(path) ? -2 : -1)
    .join('/')

/** `file:line` of a statement id, or the id itself when the statement is not part of the migrations. */
export const placeOf = (view: View, id: string): string => {
  const found = view.byId.get(id)?.statement
  return found === undefined ? id : `${found.file}:${found.line}`
}

const ORDER: readonly Severity[] = ['fail', 'inconclusive', 'warn', 'info']

/** Whether two statements share one message, of which alone the times are known. */
export const sameMessage = (a: StatementRun, b: StatementRun): boolean =>
  a.boundary === 'message' && b.boundary === 'message' && a.startMs === b.startMs && a.endMs === b.endMs

/** Findings, worst first; within a severity in the order of the judge. */
export const worstFirst = (findings: readonly Finding[]): Finding[] =>
  [...findings].sort((a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity))

/** A sign, its ASCII form and a word: nothing is told by colour alone. */
export interface Mark {
  sign: string
  ascii: string
  word: string
}

const marks = {
  pass: { sign: '✓', ascii: '+', word: 'pass' },
  ok: { sign: '✓', ascii: '+', word: 'within the limit' },
  fail: { sign: '✗', ascii: 'x', word: 'fail' },
  warn: { sign: '!', ascii: '!', word: 'warn' },
  inconclusive: { sign: '?', ascii: '?', word: 'inconclusive' },
  info: { sign: 'i', ascii: 'i', word: 'information' },
  'not measured': { sign: '–', ascii: '-', word: 'not measured' },
} satisfies Record<Verdict | Severity | BudgetResult['status'], Mark>

export const markOf = (status: keyof typeof marks): Mark => marks[status]

/** What a lock mode keeps from running, in plain words. */
export const blocksWords = (reads: boolean, writes: boolean): string =>
  reads ? 'reads and writes' : writes ? 'writes' : 'neither'

/** The names of the phases as people read them. */
export const phaseWord = (name: string): string => (name === 'warmup' ? 'warm up' : name)

/** What this rehearsal could not show, in sentences; the same in every output. */
export const notMeasured = (view: View): string[] => {
  const { report, quiet, timed } = view
  return [
    ...(report.recording.stopped === null
      ? []
      : [`The rehearsal is not complete: ${report.recording.stopped.message}.`]),
    ...(quiet === null ? ['The quiet pass: work of each statement, compatibility, data checks, rollback.'] : []),
    ...(timed === null ? ['The timed pass: how long locks were held, who waited, latency, errors.'] : []),
    ...report.budgets.filter((one) => one.status === 'not measured').map((one) => `The limit “${one.label}”.`),
    ...(report.recording.tool !== null && view.race === null
      ? ['Two migrators at once, as a rolling deploy starts them (--race).']
      : []),
    ...(timed !== null && view.disturbances.length === 0
      ? ['What else goes on in production: a long report, an idle transaction, a dump, a VACUUM (--disturb).']
      : []),
    ...(quiet !== null && quiet.rollback === null ? ['The way back: there is no rollback.sql.'] : []),
    ...(timed !== null && timed.waitsNotListed > 0
      ? [`${timed.waitsNotListed} waits are counted but not listed one by one.`]
      : []),
    'Replicas and their lag, connection poolers, other services on the same server, the hardware of production.',
  ]
}

/** The size that times stand for: as the server counts it, whatever was asked for. */
export function largestTable(env: Environment): string {
  const [first] = env.relations
  return first ? `${plural(Math.max(0, first.rows), 'row')} in ${first.relation}, the largest table` : 'no table'
}
