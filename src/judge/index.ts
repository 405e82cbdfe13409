/** judge(recording) -> Report: every opinion of the harness is made here, from facts alone. Pure. */
import {
  SCHEMA_VERSION,
  type BudgetResult,
  type Budgets,
  type Finding,
  type QueryTiming,
  type Recording,
  type Report,
  type Verdict,
} from '../recording.js'
import { formatMs } from '../units.js'
import { limits, level, METRICS, type Metric } from './budgets.js'
import { readFacts, type Facts } from './facts.js'
import { relationSummaries } from './relations.js'
import { codeBreaks } from './rules/code-breaks.js'
import { dataNotTested } from './rules/data-not-tested.js'
import { bulkWrites, checksFail, leftovers, rollback } from './rules/data.js'
import { felt, lockHeld, lockTimeoutMissing, operationBlocked } from './rules/locks.js'
import { disturbed } from './rules/disturbances.js'
import { migrationFails } from './rules/migration-fails.js'
import { plansChange } from './rules/plans.js'
import { preparedBreaks } from './rules/prepared.js'
import { LEAST_MS, querySlower, slowdowns } from './rules/slowdown.js'
import { toolCommitsEarly } from './rules/tool-commits.js'
import { nextDeployRefuses, toolExitCode } from './rules/tool-exit.js'
import { toolNotes } from './rules/tool-notes.js'
import { toolRace } from './rules/tool-race.js'
import { deadlock, health, migrationWaited, trafficErrors } from './rules/traffic.js'
import { unmeasured } from './rules/unmeasured.js'
import { ownDurations, projectionOf, workUnderLock } from './rules/work-under-lock.js'

export type Rule = (facts: Facts) => Finding[]

/** In the order in which findings of equal severity are shown. */
export const rules = [
  migrationFails,
  toolExitCode,
  toolNotes,
  nextDeployRefuses,
  codeBreaks,
  deadlock,
  toolRace,
  disturbed,
  checksFail,
  leftovers,
  lockHeld,
  operationBlocked,
  workUnderLock,
  trafficErrors,
  preparedBreaks,
  lockTimeoutMissing,
  bulkWrites,
  dataNotTested,
  unmeasured,
  querySlower,
  plansChange,
  rollback,
  toolCommitsEarly,
  migrationWaited,
  health,
] satisfies Rule[]

const ORDER: Record<Finding['severity'], number> = { fail: 0, inconclusive: 1, warn: 2, info: 3 }

/**
 * Judges a recording. `budgets` replace single limits of the recording's own. fail beats inconclusive beats warn beats
 * pass: what was proved stays proved when something else could not be measured.
 */
export function judge(recording: Recording, budgets: Budgets = {}): Report {
  const judged: Recording = { ...recording, budgets: { ...recording.budgets, ...budgets } }
  const facts = readFacts(judged)
  const findings = sayOnce(
    rules
      .flatMap((rule) => rule(facts))
      .map((found) => nearLine(facts, found))
      .sort((a, b) => ORDER[a.severity] - ORDER[b.severity]),
  )
  const verdict = verdictOf(findings)
  return {
    kind: 'report',
    schemaVersion: SCHEMA_VERSION,
    verdict,
    headline: headline(verdict, findings, judged),
    budgets: budgetResults(facts),
    findings,
    relations: relationSummaries(facts),
    recording: judged,
  }
}

/** Several findings about one statement often have the same way out: it is shown with the worst of them. */
function sayOnce(findings: readonly Finding[]): Finding[] {
  const said = new Set<string>()
  return findings.map((finding) => {
    if (!finding.advice) return finding
    const key = JSON.stringify([finding.at?.statement ?? null, finding.advice])
    if (said.has(key)) return { ...finding, advice: null }
    said.add(key)
    return finding
  })
}

/** A statement that a program made stands at no line: it is said wherever a line is named. */
function nearLine(facts: Facts, found: Finding): Finding {
  const statement = found.at ? facts.statement(found.at.statement) : null
  // A line of its own, as a note about the file has one, is exact.
  if (!statement || statement.exactLine || found.at?.line !== statement.line || found.rule === 'tool-note') return found
  return { ...found, evidence: [...found.evidence, `A program made the statement: line ${statement.line} or near it.`] }
}

function verdictOf(findings: readonly Finding[]): Verdict {
  for (const severity of ['fail', 'inconclusive', 'warn'] as const)
    if (findings.some((f) => f.severity === severity)) return severity
  return 'pass'
}

function headline(verdict: Verdict, findings: readonly Finding[], recording: Recording): string {
  const worst = findings[0]
  if (verdict !== 'pass' && worst) return worst.title
  const statements = recording.migrations.reduce((sum, file) => sum + file.statements.length, 0)
  return `${statements} ${statements === 1 ? 'statement' : 'statements'} ran under traffic: nobody was blocked beyond the limits, and both releases worked throughout`
}

/** Every limit with the worst value measured against it. */
function budgetResults(facts: Facts): BudgetResult[] {
  return (Object.keys(METRICS) as Metric[]).map((metric) => {
    const limit = limits(metric, facts.recording.budgets)
    if (metric === 'query.slowdown') return slowdownResult(facts)
    const worst = worstOf(metric, facts)
    const base = { metric, label: METRICS[metric].label, unit: METRICS[metric].unit, ...limit }
    if (!worst)
      return {
        ...base,
        measured: facts.timed ? 0 : null,
        low: facts.timed ? 0 : null,
        high: facts.timed ? 0 : null,
        projected: null,
        worstAt: null,
        status: facts.timed ? 'ok' : 'not measured',
      }
    const at = facts.at(worst.statement)
    const statuses = [level(worst, limit)]
    if (worst.projected) statuses.push(level({ low: worst.projected.lowMs, high: worst.projected.lowMs }, limit))
    return {
      ...base,
      measured: (worst.low + worst.high) / 2,
      low: worst.low,
      high: worst.high,
      projected: worst.projected,
      worstAt: at ? `${at.file}:${at.line}` : null,
      status: statuses.includes('fail') ? 'fail' : statuses.includes('warn') ? 'warn' : 'ok',
    }
  })
}

function slowdownResult(facts: Facts): BudgetResult {
  const metric = 'query.slowdown'
  const limit = limits(metric, facts.recording.budgets)
  const base = { metric, label: METRICS[metric].label, unit: METRICS[metric].unit, ...limit, projected: null }
  const timed = (facts.quiet?.timings ?? []).filter((timing) => timing.before !== null && timing.after !== null)
  if (timed.length === 0)
    return { ...base, measured: null, low: null, high: null, worstAt: null, status: 'not measured' }
  // What counts, or else the one that gained the most time, however little that is.
  const counted = [...slowdowns(facts)].sort((a, b) => b.lowRatio - a.lowRatio)[0]
  const timing = counted?.timing ?? timed.sort((a, b) => gained(b) - gained(a))[0]
  if (!timing) return { ...base, measured: null, low: null, high: null, worstAt: null, status: 'not measured' }
  const measured =
    counted?.ratio ??
    timing.ratio?.value ??
    (timing.after?.medianMs ?? 0) / Math.max(0.001, timing.before?.medianMs ?? 0)
  const status = counted ? level({ low: counted.lowRatio, high: counted.lowRatio }, limit) : 'ok'
  // A ratio above its limit that is all right needs a reason.
  const over = status === 'ok' && limit.warn !== null && measured > limit.warn
  const why = !over
    ? ''
    : counted
      ? `: at least ${counted.lowRatio.toFixed(2)}× is sure`
      : `: less than ${LEAST_MS} ms does not count`
  return {
    ...base,
    measured,
    low: counted?.lowRatio ?? null,
    high: counted?.highRatio ?? null,
    worstAt: `${timing.operation} (${timing.release}), ${difference(counted ? counted.later.medianMs - counted.before.medianMs : gained(timing))}${why}`,
    status,
  }
}

const gained = (timing: QueryTiming): number => (timing.after?.medianMs ?? 0) - (timing.before?.medianMs ?? 0)

interface Worst {
  low: number
  high: number
  statement: string
  projected: BudgetResult['projected']
}

function worstOf(metric: Metric, facts: Facts): Worst | null {
  const candidates: Worst[] = []
  if (metric === 'lock.held') {
    for (const span of felt(facts)) {
      if (!span.heldMs) continue
      candidates.push({ low: span.heldMs.lowMs, high: span.heldMs.highMs, statement: span.statement, projected: null })
    }
  } else if (metric === 'operation.blocked') {
    for (const group of facts.timed?.blocked ?? [])
      candidates.push({
        low: group.longestMs.lowMs,
        high: group.longestMs.highMs,
        statement: group.statement,
        projected: null,
      })
  } else {
    for (const under of facts.underLock)
      for (const duration of ownDurations(facts, under.run.statement).durationsMs)
        candidates.push({ low: duration, high: duration, statement: under.run.statement, projected: null })
  }
  const worst = candidates.sort((a, b) => b.high - a.high)[0] ?? null
  if (metric === 'lock.held') {
    const projected = facts.underLock
      .flatMap((under) => projectionOf(facts, under.run)?.projection ?? [])
      .sort((a, b) => b.lowMs - a.lowMs)[0]
    if (worst && projected) worst.projected = projected
  }
  return worst
}

/** What is shorter than a tenth of a millisecond is shown as such, without a sign that would mean something. */
const difference = (milliseconds: number): string =>
  Math.abs(milliseconds) < 0.1
    ? 'less than 0.1 ms apart'
    : `${milliseconds < 0 ? '−' : '+'}${formatMs(Math.abs(milliseconds))}`
