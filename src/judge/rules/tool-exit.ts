import type { Finding, MigrationFile, MigrationRun, ToolRun } from '../../recording.js'
import type { Facts } from '../facts.js'
import { ending, failedOnWire, isCalled, journalSentence, named, runName, toolName } from '../tool-words.js'
import { count, finding, oneLine } from '../words.js'
import { isSkipped } from './tool-notes.js'

/** The exit code is all that a deploy looks at: it must say what the server and the journal say. */
export function toolExitCode(facts: Facts): Finding[] {
  if (!facts.recording.complete) return []
  const quiet = facts.quiet ? judgeExit(facts, facts.quiet.migration, '') : null
  const timed = facts.timed ? judgeExit(facts, facts.timed.migration, ' under traffic') : null
  // The same at rest and under traffic is one finding.
  return quiet ? [quiet] : timed ? [timed] : []
}

function judgeExit(facts: Facts, run: MigrationRun, where: string): Finding | null {
  const { tool } = run
  if (!tool || run.timedOut) return null
  if (tool.exitCode === 0) return saysSuccess(facts, run, tool, where)
  return failedOnWire(run) ? null : givesUp(facts, run, tool, where)
}

function saysSuccess(facts: Facts, run: MigrationRun, tool: ToolRun, where: string): Finding | null {
  const failed = failedOnWire(run)
  const missing = (tool.journal?.missing ?? []).filter((name) => !isSkipped(facts, name))
  if (!failed && missing.length === 0) return null
  const files = facts.recording.migrations.filter((file) => missing.some((name) => isCalled(file, name)))
  const ran = (file: MigrationFile): boolean =>
    file.statements.some((s) => run.statements.some((r) => r.statement === s.id && r.outcome.ok))
  const name = runName(facts.recording.tool)
  const journal = journalSentence(facts.recording.tool, tool)
  const title = failed
    ? `${name} ends with exit code 0${where} although the migration failed: a deploy would go on`
    : files.some(ran)
      ? `${name} says that it succeeded${where}, but ${named(missing)} ${missing.length === 1 ? 'is' : 'are'} not in its journal`
      : `${name} says that it succeeded${where}, but never ran ${named(missing)}`
  const evidence = [`${name} ended with exit code 0.`]
  if (failed && !run.outcome.ok)
    evidence.push(`The server had answered ${run.outcome.error.sqlstate} (${run.outcome.error.condition}).`)
  if (journal) evidence.push(journal)
  if (failed && tool.journal && tool.journal.missing.length === 0)
    evidence.push('What failed counts as applied: no later run will try it again.')
  if (!failed && files.some(ran)) evidence.push('Its statements did run: the next deploy will run them again.')
  return finding('tool-exit-code', 'fail', title, {
    evidence,
    at: facts.at(run.failedStatement ?? files[0]?.statements[0]?.id ?? null),
    advice: failed
      ? {
          text: 'Let the command end with another exit code when the migration fails; a migrator that returns its error instead of throwing it needs that said.',
          sql: null,
        }
      : null,
  })
}

function givesUp(facts: Facts, run: MigrationRun, tool: ToolRun, where: string): Finding {
  const name = runName(facts.recording.tool)
  const journal = journalSentence(facts.recording.tool, tool)
  const last = tool.messages.findLast((message) => message.role !== 'other')
  const applied = tool.journal !== null && tool.journal.missing.length === 0 && tool.journal.added.length > 0
  const evidence = [
    tool.sessions.length === 0
      ? 'It never connected to the database.'
      : `It sent ${count(tool.messages.length + tool.messagesNotListed, 'message')}, and ${
          tool.lastError
            ? `the last error of the server was ${tool.lastError.sqlstate} (${tool.lastError.condition}), to none of the migration's statements`
            : 'the server answered none with an error'
        }.`,
  ]
  if (last) evidence.push(`The last message was: ${oneLine(last.text, 120)}`)
  if (journal) evidence.push(journal)
  if (applied) evidence.push('All is applied, but a deploy that looks at the exit code stops here.')
  return finding(
    'tool-exit-code',
    'fail',
    `${name} ${ending(tool)}${where}, although the server refused no statement of the migration`,
    {
      evidence,
      at: facts.at(run.statements.at(-1)?.statement ?? null),
      advice: {
        text: `The reason is in what ${toolName(facts.recording.tool)} prints, not in the database: run ${oneLine(facts.recording.tool?.command ?? 'it', 120)} with its own output.`,
        sql: null,
      },
    },
  )
}

/** After a failure some tools refuse to run until somebody has repaired their journal by hand. */
export function nextDeployRefuses(facts: Facts): Finding[] {
  if (!facts.recording.complete) return []
  const run = [facts.quiet?.migration, facts.timed?.migration].find((r) => r?.tool?.journal?.refuses && !r.timedOut)
  const refuses = run?.tool?.journal?.refuses
  if (!run || !refuses) return []
  const { tool } = facts.recording
  const name = toolName(tool)
  const halfApplied = (run === facts.quiet?.migration ? facts.quiet : facts.timed)?.leftovers.halfApplied ?? []
  return [
    finding(
      'next-deploy-refuses',
      'fail',
      `The next deploy stops: ${name} will refuse to run until its journal is repaired by hand`,
      {
        evidence: [refuses, 'A corrected migration is not enough: every further deploy stops at the same place.'],
        at: facts.at(run.failedStatement),
        advice: {
          text:
            tool?.tool === 'prisma'
              ? `Mend the migration, ${halfApplied.length > 0 ? 'undo by hand what it left' : 'see that nothing of it is left'}, then run \`prisma migrate resolve --rolled-back <name>\` before the next deploy (\`--applied\` when all of it was done by hand).`
              : `Repair ${tool?.journal ?? 'its journal'} by hand before the next deploy.`,
          sql: null,
        },
      },
    ),
  ]
}
