import type { Finding, MigrationRun, PgError, TimedPass } from '../../recording.js'
import type { Facts } from '../facts.js'
import { ending, failedOnWire, journalSentence, runName, toolName } from '../tool-words.js'
import { finding, oneLine } from '../words.js'
import { failsOnMadeUp } from './data-not-tested.js'
import { noteOf } from './tool-notes.js'

/** The migration fails at rest, or only while traffic runs; or it does not end in time. */
export function migrationFails(facts: Facts): Finding[] {
  const { quiet, timed } = facts
  // A pass that was repeated, because its traffic was late, is not judged for time; that the migration failed in it stays true.
  const failing = [timed, ...facts.recording.passes].find(
    (pass): pass is TimedPass => pass?.kind === 'timed' && failedOnWire(pass.migration) && !pass.migration.timedOut,
  )
  const findings: Finding[] = []
  if (quiet && failedOnWire(quiet.migration) && !quiet.migration.timedOut) {
    findings.push(
      failure(facts, quiet.migration, 'migration-fails', 'The migration fails', quiet.leftovers.halfApplied),
    )
  } else if (quiet?.migration.outcome.ok !== false && failing) {
    findings.push(
      failure(
        facts,
        failing.migration,
        'fails-under-traffic',
        'The migration fails only under traffic',
        failing.leftovers.halfApplied,
      ),
    )
  }
  const tooLong = timed?.migration.timedOut ? timed : quiet?.migration.timedOut ? quiet : null
  if (tooLong && facts.recording.complete) {
    findings.push(
      finding('migration-too-long', 'fail', 'The migration did not end within the permitted time', {
        evidence: ['It was stopped by the harness; see maxDuration.'],
        at: facts.at(tooLong.migration.statements.at(-1)?.statement ?? null),
      }),
    )
  }
  return findings
}

/** Fixes for the failures that people meet most, by SQLSTATE. */
const ADVICE: Record<string, { text: string; sql: string | null }> = {
  '25001': {
    text: 'Move it to a file of its own that runs without a transaction (first line `-- rehearse: no-transaction`, and the same in your migration tool).',
    sql: null,
  },
  '23502': {
    text: 'Rows without a value are there. Give the column a default or fill it first, and see that the running release fills it too; then demand it.',
    sql: null,
  },
  '23505': {
    text: 'Duplicates are there. Remove them first; drop an INVALID index that is left over before you try again.',
    sql: null,
  },
  '55P03': {
    text: 'lock_timeout did its work: nothing was blocked for longer. Run the migration with retries.',
    sql: null,
  },
}

function failure(
  facts: Facts,
  run: MigrationRun,
  rule: string,
  title: string,
  halfApplied: readonly string[],
): Finding {
  const error = run.outcome.ok ? null : run.outcome.error
  const statement = run.failedStatement === null ? null : facts.statement(run.failedStatement)
  const evidence = said(facts, run, error)
  if (statement) evidence.push(`Failing statement: ${oneLine(statement.sql, 200)}`)
  const own = run.tool?.messages.findLast((message) => !message.outcome.ok)
  if (!statement && own && own.role !== 'migration')
    evidence.push(`It was the answer to a message of the tool's own: ${oneLine(own.text, 120)}`)
  if (halfApplied.length > 0)
    evidence.push(
      `${halfApplied.length} statement(s) before it are committed and stay: the schema is half migrated, and running the migration again starts from there.`,
    )
  else evidence.push('Everything before it was rolled back with it.')
  const madeUp = failsOnMadeUp(facts, statement, error)
  if (madeUp)
    evidence.push(
      'The rows here were generated from the schema: that they do not fit says nothing about those of production. Give a seed with rows that do.',
    )
  const journal = run.tool ? journalSentence(facts.recording.tool, run.tool) : null
  if (journal) evidence.push(journal)
  return finding(
    rule,
    madeUp ? 'inconclusive' : 'fail',
    `${title}${madeUp ? ' on generated rows' : ''}: ${error?.sqlstate ?? ''} ${error?.message ?? ''}`.trim(),
    {
      evidence,
      at: facts.at(run.failedStatement),
      advice: error ? adviceFor(facts, run, error) : null,
    },
  )
}

/** The server's error, and what the tool told its user of it: some end without a word. */
function said(facts: Facts, run: MigrationRun, error: PgError | null): string[] {
  const text = error ? `${error.sqlstate} (${error.condition}): ${error.message}.` : 'The server reported an error.'
  if (!run.tool) return [text]
  const ended = `${runName(facts.recording.tool)} ${ending(run.tool)}`
  if (run.tool.toldError === false) return [`${ended} and did not print the error; this is it: ${text}`]
  return [text, run.tool.toldError ? `${ended} and printed the error.` : `${ended}.`]
}

function adviceFor(facts: Facts, run: MigrationRun, error: PgError): Finding['advice'] {
  const { tool } = facts.recording
  if (!run.tool || error.sqlstate !== '25001') return ADVICE[error.sqlstate] ?? null
  const at = facts.at(run.failedStatement)
  const notes = (tool?.notes ?? []).filter(
    (note) =>
      note.kind === 'impossible' && note.advice !== null && at && noteOf(note, at.file, at.line, error.sqlstate),
  )
  const note = notes.find((one) => one.line === at?.line) ?? notes[0]
  return {
    text:
      note?.advice ??
      `Move it out of the transaction of ${toolName(tool)}: into a migration of its own where the tool can run one without a transaction, else into a step of its own beside the tool.`,
    sql: null,
  }
}
