import type { Finding, PhaseName, TrafficError } from '../../recording.js'
import { unhealthy } from '../../health.js'
import type { Facts } from '../facts.js'
import { count, finding, oneLine, operationsInWords } from '../words.js'

/** A deadlock with the migration in the cycle. */
export function deadlock(facts: Facts): Finding[] {
  return (facts.timed?.deadlocks ?? [])
    .filter((d) => d.involvesMigration)
    .map((d) =>
      finding('deadlock', 'fail', `Deadlock with the migration: ${d.victim} was cancelled (40P01)`, {
        evidence: [`In the cycle: ${d.participants.join(', ')}.`],
        at: facts.at(d.statement),
        advice: {
          text: 'Take the locks in the order in which the application takes them, or one table per transaction.',
          sql: null,
        },
      }),
    )
}

/** Structural classes: the schema, not the moment, made the statement fail. */
const STRUCTURAL = /^(42|0A|22|23|25|428|P0)/

/**
 * Errors of traffic that the compat matrix does not explain: an (operation, SQLSTATE) that was absent from the baseline
 * or is clearly more frequent than there (three times the rate and at least five more than expected).
 */
export function trafficErrors(facts: Facts): Finding[] {
  const { timed, quiet } = facts
  if (!timed) return []
  const lengths = new Map<PhaseName, number>()
  for (const phase of timed.phases)
    lengths.set(phase.name, (lengths.get(phase.name) ?? 0) + phase.endMs - phase.startMs)
  const groups = new Map<string, Met[]>()
  const baseMs = (lengths.get('warmup') ?? 0) + (lengths.get('baseline') ?? 0)
  const laterMs = (lengths.get('migrate') ?? 0) + (lengths.get('rollout') ?? 0) + (lengths.get('settled') ?? 0)
  for (const error of timed.errors) {
    if (error.hidden || error.error.sqlstate === '40P01' || explained(facts, error)) continue
    const base = (error.phases.warmup ?? 0) + (error.phases.baseline ?? 0)
    const later = error.count - base
    const expected = baseMs > 0 ? (base / baseMs) * laterMs : 0
    const clearlyMore = base === 0 ? later > 0 : later > 3 * expected && later > expected + 5
    if (!clearlyMore || sporadic(facts, error, later)) continue
    // Of many operations one cause: the pool is used up, a column is gone.
    const { sqlstate } = error.error
    groups.set(sqlstate, [...(groups.get(sqlstate) ?? []), { error, base, later }])
  }
  return [...groups].map(([sqlstate, group]) => {
    const later = group.reduce((sum, one) => sum + one.later, 0)
    const base = group.reduce((sum, one) => sum + one.base, 0)
    const [first] = group
    const who = operationsInWords(group.map(({ error }) => error))
    const probed = group.every(({ error }) =>
      quiet?.compat.some((cell) => cell.release === error.release && cell.operation === error.operation),
    )
    const title =
      sqlstate === 'POOL'
        ? `${count(later, 'request')} gave up waiting for a connection: ${who}`
        : `${who} failed ${count(later, 'time')} with ${sqlstate} under traffic`
    const messages = [...new Set(group.map(({ error }) => error.error.message))]
    return finding('traffic-errors', STRUCTURAL.test(sqlstate) || sqlstate === 'POOL' ? 'fail' : 'warn', title, {
      evidence: [
        `${sqlstate} (${first?.error.error.condition ?? ''}): ${messages.slice(0, 3).join('; ')}.`,
        base === 0 ? 'Absent from the baseline.' : `In the baseline ${base} in ${Math.round(baseMs / 1000)} s.`,
        ...(sqlstate === 'POOL'
          ? ['All connections of the pool were busy or blocked: so everybody waits, also for tables that nobody locks.']
          : probed
            ? ['At rest it works on every state, so it is the running together that breaks it.']
            : []),
      ],
    })
  })
}

interface Met {
  error: TrafficError
  /** In the warm-up and the baseline, and afterwards. */
  base: number
  later: number
}

/** Values that were drawn may clash now and then: a key that is there already, a row that is gone. */
const CLASHES = /^(?:22|23)/
const MOST_CLASHES = 0.05

/** A clash of derived values, not the migration's doing: it works at rest, and nearly always under traffic. */
function sporadic(facts: Facts, error: TrafficError, later: number): boolean {
  const operation = facts.recording.operations.find((o) => o.release === error.release && o.name === error.operation)
  if (operation?.source !== 'derived' && operation?.source !== 'production') return false
  if (!CLASHES.test(error.error.sqlstate)) return false
  const rows = facts.timed?.traffic.filter(
    (row) =>
      row.release === error.release &&
      row.operation === error.operation &&
      row.phase !== 'warmup' &&
      row.phase !== 'baseline',
  )
  const all = (rows ?? []).reduce((sum, row) => sum + row.completed + row.failed, 0)
  return later <= 1 || later <= all * MOST_CLASHES
}

/** The matrix already says that this operation fails like this on some state. */
function explained(facts: Facts, error: TrafficError): boolean {
  return (facts.quiet?.compat ?? []).some(
    (cell) =>
      cell.release === error.release &&
      cell.operation === error.operation &&
      ((!cell.fresh.ok && cell.fresh.error.sqlstate === error.error.sqlstate) ||
        (cell.prepared !== null && !cell.prepared.ok && cell.prepared.error.sqlstate === error.error.sqlstate)),
  )
}

/** Long waits of the migration itself: CONCURRENTLY for older transactions, or a lock behind a long one. */
export function migrationWaited(facts: Facts): Finding[] {
  return (facts.timed?.migrationWaits ?? [])
    .filter((wait) => wait.waitedMs.lowMs > 1_000)
    .map((wait) =>
      finding(
        'migration-waited',
        'info',
        `The migration waited for ${wait.lockType === 'virtualxid' ? 'older transactions' : `a ${wait.lockType} lock`}`,
        {
          evidence: [
            `${oneLine(facts.statement(wait.statement)?.sql ?? '')} waited ${Math.round(wait.waitedMs.lowMs)} ms${wait.waitedFor.length > 0 ? ` for ${wait.waitedFor.join(', ')}` : ''}.`,
          ],
          at: facts.at(wait.statement),
        },
      ),
    )
}

/** Without anything that the running release does, silence proves nothing. */
function noTraffic({ recording, timed }: Facts): Finding[] {
  const programs = timed?.programs.some((run) => run.release === 'old') === true
  if (!timed || programs || recording.operations.some(({ release }) => release === 'old')) return []
  const journal = recording.tool?.journal ?? null
  const tables = (recording.environment?.relations ?? []).filter(({ relation }) => relation !== journal)
  const reasons = recording.traffic.flatMap(({ leftOut }) => leftOut.map(({ what, reason }) => `${what}: ${reason}`))
  return tables.length === 0
    ? [
        finding('no-traffic', 'info', 'There is no table before the migration, so no release can be using one', {
          evidence: ['Nobody can wait or fail: what was rehearsed is that the migration runs.'],
        }),
      ]
    : [
        finding('no-traffic', 'inconclusive', 'The rehearsal had no traffic of the running release', {
          evidence: reasons.length > 0 ? reasons.slice(0, 10) : ['No operation of it is known.'],
          advice: { text: 'Declare what the application does in rehearsal/old.sql, or seed the tables.', sql: null },
        }),
      ]
}

/** What does not run proves nothing of what it would do. What it sent until then is judged like anything else. */
function notReady({ timed }: Facts): Finding[] {
  const runs = (timed?.programs ?? []).filter(({ release, role }) => release === 'new' && role === 'serve')
  const [first] = runs
  if (!first || runs.some(({ ready }) => ready)) return []
  return [
    finding(
      'inconclusive-program',
      'inconclusive',
      'The program of the next release did not come to work after the migration',
      {
        evidence: (timed?.warnings ?? []).filter((sentence) => sentence.includes('program of the new release')),
        advice: {
          text: 'Look whether it works on the schema after the migration; where it only needs longer, give it a longer --rollout.',
          sql: null,
        },
      },
    ),
  ]
}

/** What makes the measurement itself worthless. */
export function health(facts: Facts): Finding[] {
  const { recording, timed, quiet } = facts
  if (!recording.complete)
    return [
      finding(
        'incomplete',
        'inconclusive',
        `The rehearsal did not come to its end: ${recording.stopped?.message ?? 'it was stopped'}`,
        {
          evidence: ['What was recorded until then is in this report; nothing can be concluded from what is missing.'],
        },
      ),
    ]
  if (!quiet || !timed)
    return [finding('incomplete', 'inconclusive', `The ${quiet ? 'timed' : 'quiet'} pass is missing`)]
  const causes = unhealthy(timed, recording.budgets).map((cause) =>
    finding(`inconclusive-${cause.cause}`, 'inconclusive', cause.sentence, {
      advice:
        cause.cause === 'generator'
          ? { text: 'Rehearse with a lower --rate, or on a machine with more free cores.', sql: null }
          : null,
    }),
  )
  return [...causes, ...noTraffic(facts), ...notReady(facts)]
}
