import type { Finding, Projection, StatementRun } from '../../recording.js'
import { level, limits } from '../budgets.js'
import type { Facts, UnderLock } from '../facts.js'
import { project } from '../projection.js'
import { saferWay } from '../safer-way.js'
import { count, finding, ms, operationsInWords } from '../words.js'

/** Work that grows with a table, done by one statement. */
export interface Growing {
  relation: string
  work: Projection['work']
  rows: number
}

const BULK_ROWS = 1_000

/** What of a statement's work grows with a table that existed before. The heaviest kind first. */
export function growing(run: StatementRun, rowsHere: (relation: string) => number | null): Growing[] {
  const work = run.work
  if (!work) return []
  const found: Growing[] = []
  const add = (relation: string, kind: Projection['work'], rows: number): void => {
    if (rows > 0 && !found.some((g) => g.relation === relation)) found.push({ relation, work: kind, rows })
  }
  for (const rewrite of work.rewrites) add(rewrite.relation, 'rewrite', rewrite.rows ?? rowsHere(rewrite.relation) ?? 0)
  for (const build of work.indexBuilds) add(build.table, 'index build', rowsHere(build.table) ?? 0)
  for (const scan of work.scans)
    if (scan.existedBefore) add(scan.relation, 'scan', rowsHere(scan.relation) ?? scan.rows / scan.passes)
  for (const rows of work.rowsWritten) {
    const written = rows.inserted + rows.updated + rows.deleted
    if (rows.existedBefore && written >= BULK_ROWS)
      add(rows.relation, 'rows written', rowsHere(rows.relation) ?? written)
  }
  return found
}

export interface OwnDurations {
  durationsMs: number[]
  /** Set when they are those of a whole message, of which the statement was one of so many: an upper bound for it. */
  ofMessage: number | null
}

/**
 * Durations of a statement without its waits for locks, in both passes. Where one pass knows the statement's own and the
 * other only those of the message that it was in, the statement's own count.
 */
export function ownDurations(facts: Facts, statement: string): OwnDurations {
  const waited = Math.max(
    0,
    ...facts
      .spansOf(statement)
      .filter((s) => s.how !== 'client stamps')
      .map((s) => s.waitedMs.lowMs),
  )
  const known = [
    { run: facts.quietRun(statement), others: facts.quiet?.migration.statements, waitedMs: 0 },
    { run: facts.timedRun(statement), others: facts.timed?.migration.statements, waitedMs: waited },
  ].flatMap(({ run, others, waitedMs }) => {
    if (!run?.outcome.ok) return []
    const sharing = run.boundary === 'message' ? (others ?? []).filter((other) => sameMessage(run, other)).length : 1
    return [{ durationMs: Math.max(0, run.endMs - run.startMs - waitedMs), sharing }]
  })
  const own = known.filter((one) => one.sharing === 1)
  return {
    durationsMs: (own.length > 0 ? own : known).map((one) => one.durationMs),
    ofMessage: own.length > 0 || known.length === 0 ? null : Math.max(...known.map((one) => one.sharing)),
  }
}

const sameMessage = (a: StatementRun, b: StatementRun): boolean =>
  b.boundary === 'message' && a.startMs === b.startMs && a.endMs === b.endMs

/** The projection of the statement's heaviest growing work to production's size, where that size is known. */
export function projectionOf(
  facts: Facts,
  run: StatementRun,
): { growing: Growing; projection: Projection | null } | null {
  const candidates = growing(run, facts.rowsHere)
  let best: { growing: Growing; projection: Projection | null } | null = null
  for (const candidate of candidates) {
    const production = facts.productionRows(candidate.relation)
    const projection =
      production === null
        ? null
        : project({
            relation: candidate.relation,
            work: candidate.work,
            rowsHere: candidate.rows,
            rowsInProduction: production,
            durationsMs: ownDurations(facts, run.statement).durationsMs,
            constantMs: (facts.recording.environment?.roundTripMs ?? 0.5) * 2,
          })
    if (!best || (projection && (!best.projection || projection.lowMs > best.projection.lowMs)))
      best = { growing: candidate, projection }
  }
  return best
}

/** The start of a sentence that ends with the lock. */
const workInWords: Record<Projection['work'], (relation: string) => string> = {
  rewrite: (relation) => `${relation} is rewritten`,
  scan: (relation) => `${relation} is read from beginning to end`,
  'index build': (relation) => `An index is built over ${relation}`,
  'rows written': (relation) => `Rows of ${relation} are written in bulk`,
}

/**
 * A rewrite, a full scan, an index build or bulk writes while a lock is held that conflicts with what traffic does
 * there. What was measured is judged by the rule for held locks; this one judges what it becomes at production's size,
 * and statements that are long in themselves.
 */
export function workUnderLock(facts: Facts): Finding[] {
  const messages = new Set<string>()
  return facts.underLock.flatMap((under) => {
    const projected = projectionOf(facts, under.run)
    const measured = ownDurations(facts, under.run.statement)
    const longest = Math.max(0, ...measured.durationsMs)
    const statementLimit = limits('statement.underLock', facts.recording.budgets)
    const findings: Finding[] = []
    if (projected) findings.push(...grows(facts, under, projected, measured))
    const severity = level({ low: longest, high: longest }, statementLimit)
    // A message whose statements have no times of their own is one finding, not one for each of them.
    const message = measured.ofMessage === null ? null : `${under.run.startMs} ${under.run.endMs}`
    if (severity !== 'ok' && (message === null || !messages.has(message)))
      findings.push(
        finding(
          'long-under-lock',
          severity,
          `${measured.ofMessage === null ? 'A statement' : `A message of ${measured.ofMessage} statements`} of ${ms(longest)} ran while ${under.lock.mode} on ${under.lock.relation} was held`,
          {
            evidence: [lockSentence(facts, under), ...messageSentence(measured)],
            at: facts.at(under.run.statement),
            relation: under.lock.relation,
          },
        ),
      )
    if (message !== null) messages.add(message)
    return findings
  })
}

const messageSentence = (measured: OwnDurations): string[] =>
  measured.ofMessage === null
    ? []
    : [
        `The time is that of a whole message of ${measured.ofMessage} statements, which the server answers at once: this one took at most as long.`,
      ]

const lockSentence = (facts: Facts, under: UnderLock): string => {
  const taken = facts.at(under.takenBy)
  return `Its transaction holds ${under.lock.mode} on ${under.lock.relation}${
    taken && under.takenBy !== under.run.statement ? `, taken at ${taken.file}:${taken.line}` : ''
  }, which conflicts with ${operationsInWords(under.operations)}.`
}

function grows(
  facts: Facts,
  under: UnderLock,
  projected: { growing: Growing; projection: Projection | null },
  measured: OwnDurations,
): Finding[] {
  const { growing: work, projection } = projected
  const statement = facts.statement(under.run.statement)
  const what = `${workInWords[work.work](work.relation)} while ${under.lock.mode} on ${under.lock.relation} is held`
  const rest = {
    at: facts.at(under.run.statement),
    relation: under.lock.relation,
    projection,
    advice: statement ? saferWay(statement, under.lock.table, facts.recording.tool) : null,
  }
  const sentences = [
    `Measured here: ${ms(Math.max(0, ...measured.durationsMs))} over ${count(Math.round(work.rows), 'row')} of ${work.relation}.`,
    ...messageSentence(measured),
  ]
  if (!projection)
    return [
      finding('grows-under-lock', 'warn', `${what}: it grows with the table`, {
        ...rest,
        evidence: [
          lockSentence(facts, under),
          ...sentences,
          `It grows with ${work.relation}, and how many rows production has there is not known.`,
        ],
        advice: rest.advice ?? { text: 'State production.rows, so that the time can be projected.', sql: null },
      }),
    ]
  const held = limits('lock.held', facts.recording.budgets)
  const severity = level({ low: projection.lowMs, high: projection.lowMs }, held)
  return [
    finding(
      'work-under-lock',
      severity === 'ok' ? 'info' : severity,
      `${what}: ${ms(projection.lowMs)} or more in production (projected)`,
      {
        ...rest,
        evidence: [lockSentence(facts, under), ...sentences],
      },
    ),
  ]
}
