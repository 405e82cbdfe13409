import type { DisturbancePass, Finding, Leftovers } from '../../recording.js'
import { limits } from '../budgets.js'
import { disturbanceName, hostage, ofDisturbance, type Hostage } from '../disturbance-facts.js'
import type { Facts } from '../facts.js'
import { failedOnWire, runName } from '../tool-words.js'
import { bracket, count, finding, ms, oneLine } from '../words.js'

/** A gap between two looks of the sampler that could hide waits. */
const MOST_GAP_MS = 250
/** Ends that came so little before their time are on time. */
const LATE_MS = 50

/** What else goes on in production while the migration runs: each in a pass of its own, judged for that alone. */
export const disturbed = (facts: Facts): Finding[] => facts.disturbances.flatMap((pass) => judgeOne(facts, pass))

function judgeOne(facts: Facts, pass: DisturbancePass): Finding[] {
  // Interrupted in it: the recording says so as a whole.
  if (!facts.recording.complete && (pass.migration.timedOut || (pass.tries.length === 0 && !pass.disturbance.error)))
    return []
  if (pass.tries.length === 0) return [notMade(pass)]
  const bad = [...hangs(facts, pass), ...deadlocked(facts, pass), ...fails(facts, pass), ...leaves(facts, pass)]
  const held = hostage(pass)
  const found = [...bad, ...blocks(facts, pass, held), ...doubts(pass, held)]
  return found.some(({ severity }) => severity !== 'info') ? found : [harmless(facts, pass, held), ...found]
}

const evidenceOf = (pass: DisturbancePass): string[] => {
  const { text, locks, lastsMs } = pass.disturbance
  const held = locks.slice(0, 4).map(({ relation, mode }) => `${mode} on ${relation}`)
  return [
    `The disturbance: ${text}, for ${ms(lastsMs)} after the migration had begun. It held ${held.length === 0 ? 'no lock on a table' : held.join(', ')}${locks.length > 4 ? ` and ${locks.length - 4} more` : ''}.`,
  ]
}

function notMade(pass: DisturbancePass): Finding {
  const { error } = pass.disturbance
  const why = error ? `: ${error.sqlstate} ${error.message}` : ''
  return finding(
    'disturbance-not-measured',
    'warn',
    `What ${disturbanceName(pass)} does to the migration was not measured`,
    { evidence: [`It could not be made here${why}.`] },
  )
}

function hangs(facts: Facts, pass: DisturbancePass): Finding[] {
  if (!pass.migration.timedOut) return []
  return [
    finding(
      'disturbance-hangs',
      'fail',
      `With ${disturbanceName(pass)} the migration did not end within the permitted time`,
      {
        evidence: ['It was stopped by the harness; see maxDuration.', ...evidenceOf(pass)],
        at: facts.at(pass.migration.statements.at(-1)?.statement ?? null),
      },
    ),
  ]
}

const deadlocked = (facts: Facts, pass: DisturbancePass): Finding[] =>
  pass.deadlocks
    .filter((one) => one.involvesMigration)
    .map((one) =>
      finding(
        'deadlock',
        'fail',
        `Deadlock with the migration while ${disturbanceName(pass)} goes on: ${one.victim} was canceled (40P01)`,
        {
          evidence: [`In the cycle: ${one.participants.join(', ')}.`, ...evidenceOf(pass)],
          at: facts.at(one.statement),
        },
      ),
    )

/** Timeouts that the migration has set itself are no failure of it; everything that fails alone, too, is said elsewhere. */
const GAVE_UP: ReadonlySet<string> = new Set(['55P03', '57014'])

function fails(facts: Facts, pass: DisturbancePass): Finding[] {
  const { outcome, timedOut, failedStatement } = pass.migration
  if (outcome.ok || timedOut || !failedOnWire(pass.migration)) return []
  const alone = facts.quiet?.migration.outcome
  const { sqlstate, condition, message } = outcome.error
  if (GAVE_UP.has(sqlstate) || sqlstate === '40P01' || alone?.ok === false) return []
  return [
    finding(
      'fails-when-disturbed',
      'fail',
      `The migration fails while ${disturbanceName(pass)} goes on: ${sqlstate} ${message}`,
      {
        evidence: [`${sqlstate} (${condition}). At rest it does not fail.`, ...evidenceOf(pass)],
        at: facts.at(failedStatement),
      },
    ),
  ]
}

/** What stays behind after this pass and did not after the quiet one. */
export function newlyLeft(after: Leftovers, quiet: Leftovers | null): string[] {
  const known = new Set([
    ...(quiet?.invalidIndexes ?? []).map(({ index }) => `i ${index}`),
    ...(quiet?.notValidConstraints ?? []).map(({ table, constraint }) => `c ${table} ${constraint}`),
    ...(quiet?.halfApplied ?? []).map((id) => `s ${id}`),
  ])
  const half = after.halfApplied.filter((id) => !known.has(`s ${id}`)).length
  return [
    ...after.invalidIndexes
      .filter(({ index }) => !known.has(`i ${index}`))
      .map(({ index, table }) => `the INVALID index ${index} on ${table}`),
    ...after.notValidConstraints
      .filter(({ table, constraint }) => !known.has(`c ${table} ${constraint}`))
      .map(({ table, constraint }) => `the constraint ${constraint} on ${table}, NOT VALID`),
    ...(half > 0 ? [`${count(half, 'statement')} of a migration that is half applied`] : []),
  ]
}

function leaves(facts: Facts, pass: DisturbancePass): Finding[] {
  const left = newlyLeft(pass.leftovers, facts.quiet?.leftovers ?? null)
  if (left.length === 0) return []
  const { outcome } = pass.migration
  return [
    finding(
      'disturbance-leaves',
      'fail',
      `With ${disturbanceName(pass)} the migration leaves ${left.slice(0, 3).join(', ')}`,
      {
        evidence: [
          outcome.ok
            ? 'It said that it had succeeded.'
            : `It ended with ${outcome.error.sqlstate} (${outcome.error.condition}).`,
          'At rest nothing of this is left.',
          ...evidenceOf(pass),
        ],
        at: facts.at(pass.migration.failedStatement),
        advice: {
          text: 'Clean up before each try, or write the migration so that it can run again: DROP INDEX IF EXISTS before CREATE INDEX CONCURRENTLY, one change a transaction.',
          sql: null,
        },
      },
    ),
  ]
}

/** Traffic that waited behind the migration while the migration itself waited, for longer than anybody wants. */
function blocks(facts: Facts, pass: DisturbancePass, held: readonly Hostage[]): Finding[] {
  const budget = limits('operation.blocked', facts.recording.budgets).fail
  const worst = held
    .filter((one) => one.sessions > 0)
    .filter((one) => {
      const timeoutMs = facts.quietRun(one.statement)?.work?.lockTimeoutMs ?? null
      return timeoutMs === null
        ? budget === null || one.longestMs.lowMs > budget
        : timeoutMs === 0 || (budget !== null && timeoutMs > budget)
    })
    .sort((a, b) => b.longestMs.highMs - a.longestMs.highMs)
  const [first] = worst
  if (!first) return []
  const sql = facts.statement(first.statement)?.sql ?? first.statement
  const timeoutMs = facts.quietRun(first.statement)?.work?.lockTimeoutMs ?? null
  return [
    finding(
      'queue-behind-disturbance',
      'warn',
      `${oneLine(sql, 60)} waited ${bracket(first.waitedMs)} for ${disturbanceName(pass)}; meanwhile ${count(first.sessions, 'session')} waited behind it, the longest ${bracket(first.longestMs)}`,
      {
        evidence: [
          `Behind it waited ${first.by
            .slice(0, 4)
            .map(
              (row) =>
                `${row.operation} (${row.release} release) ${row.waits}x for ${row.mode}${row.relation === null ? '' : ` on ${row.relation}`}`,
            )
            .join('; ')}${first.by.length > 4 ? '; and others' : ''}.`,
          ...(first.slowestMs === null
            ? []
            : [
                `The slowest request took ${ms(first.slowestMs)} from when it was due; ${count(first.scheduled, 'request')} came while the migration ran.`,
              ]),
          timeoutMs === null
            ? 'Its lock_timeout is not known.'
            : timeoutMs === 0
              ? 'Its lock_timeout is 0: it waits for as long as it takes, and everybody behind it does, too.'
              : `Its lock_timeout is ${ms(timeoutMs)}.`,
          ...(worst.length > 1
            ? [`${count(worst.length - 1, 'other statement')} of the migration waited so, too.`]
            : []),
          ...evidenceOf(pass),
          ...trafficFailed(pass),
        ],
        at: facts.at(first.statement),
        relation: first.relation,
        advice: {
          text: 'Give up soon and try again: nobody then waits longer than the limit. Plain SQL files are tried again with migrations.retries; in a deploy, a loop around the tool does it.',
          sql: "set lock_timeout = '2s'; -- first in the migration; on 55P03 run it again after a pause",
        },
      },
    ),
  ]
}

/** Operations that gave up waiting, by a timeout of the application's own. */
function trafficFailed(pass: DisturbancePass): string[] {
  const failed = pass.errors
    .filter(({ error }) => GAVE_UP.has(error.sqlstate) || error.sqlstate === 'POOL')
    .map((one) => ({ ...one, during: one.phases.migrate ?? 0 }))
    .filter(({ during }) => during > 0)
  if (failed.length === 0) return []
  return [
    `${failed
      .slice(0, 3)
      .map((one) => `${one.operation} failed ${count(one.during, 'time')} with ${one.error.sqlstate}`)
      .join(', ')} meanwhile.`,
  ]
}

/** Why this pass tells less than it should. */
function doubts(pass: DisturbancePass, held: readonly Hostage[]): Finding[] {
  const { disturbance, migration, sampler } = pass
  const due = migration.startMs + disturbance.lastsMs
  const found: Finding[] = []
  if (sampler.polls === 0 || (sampler.maxGapMs ?? 0) > MOST_GAP_MS)
    found.push(
      finding(
        'disturbance-not-measured',
        'warn',
        `Who waited while ${disturbanceName(pass)} went on was not seen throughout`,
        {
          evidence: [
            sampler.polls === 0
              ? 'The lock sampler never looked.'
              : `The lock sampler did not look for ${ms(sampler.maxGapMs)}.`,
          ],
        },
      ),
    )
  if (disturbance.ended === 'end of pass' || disturbance.endMs >= due - LATE_MS) return found
  const { error } = disturbance
  const met = held.length > 0
  const lasted = ms(Math.max(0, disturbance.endMs - migration.startMs))
  // A limit of the application's that ends such a session does so in production, too.
  found.push(
    finding(
      'disturbance-ended-early',
      met || error !== null ? 'info' : 'warn',
      `${disturbanceName(pass, true)} ended ${lasted} after the migration had begun, not after ${ms(disturbance.lastsMs)}`,
      {
        evidence: [
          error
            ? `${error.sqlstate}: ${error.message}. The same limit ends it in production.`
            : 'It was through with its work: in production, with larger tables, it lasts longer.',
          ...(met ? [] : ['The migration did not wait for it.']),
        ],
      },
    ),
  )
  return found
}

/** Nothing is wrong: said in one sentence, so that it is seen to have been looked at. */
function harmless(facts: Facts, pass: DisturbancePass, held: readonly Hostage[]): Finding {
  const name = disturbanceName(pass)
  const { outcome } = pass.migration
  const tries = pass.tries.length
  const longest = [...held].sort((a, b) => b.longestMs.highMs - a.longestMs.highMs)[0]
  const waits = pass.migrationWaits.filter(ofDisturbance)
  const nobody = 'Nobody waited behind it meanwhile.'
  const evidence = [
    ...(longest && longest.sessions > 0
      ? [`Behind it ${count(longest.sessions, 'session')} waited, the longest ${bracket(longest.longestMs)}.`]
      : waits.length > 0
        ? [nobody]
        : []),
    ...evidenceOf(pass),
    ...trafficFailed(pass),
  ]
  const say = (title: string): Finding =>
    finding('disturbance-harmless', 'info', title, { evidence, at: facts.at(waits[0]?.statement ?? null) })
  if (!outcome.ok && GAVE_UP.has(outcome.error.sqlstate))
    return say(
      `With ${name} ${facts.recording.tool ? runName(facts.recording.tool) : 'the migration'} gave up after ${count(tries, 'try', 'tries')} (${outcome.error.sqlstate}) and left nothing: it can be run again`,
    )
  if (!outcome.ok) return say(`With ${name} the migration fails as it does at rest`)
  if (tries > 1)
    return say(
      `With ${name} the migration got its locks at try ${tries}, and nobody waited longer than its lock_timeout`,
    )
  if (waits.length > 0)
    return say(`With ${name} the migration waited ${bracket(waits[0]?.waitedMs ?? null)}, and blocked nobody for long`)
  return say(`${disturbanceName(pass, true)} does not get in the way of the migration`)
}
