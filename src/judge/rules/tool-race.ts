import type { Finding, RacePass } from '../../recording.js'
import type { Facts } from '../facts.js'
import { named, NO_SQLSTATE, toolName } from '../tool-words.js'
import { count, finding, ms, oneLine } from '../words.js'

const ONE_AT_A_TIME = {
  text: 'Let exactly one process migrate (a job before the rollout, not each instance when it starts), or hold a lock around the tool: select pg_advisory_lock(...) in a session of its own.',
  sql: null,
}

/** Two migrators at once, as a rolling deploy starts them. */
export function toolRace(facts: Facts): Finding[] {
  const { race } = facts
  if (!race) return []
  const name = toolName(facts.recording.tool)
  const rest = { evidence: evidence(facts, race), at: facts.at(race.twice[0] ?? null) }
  // The one that found nothing to do: the other's longest answer is its own work.
  const waited = ms((race.runs.find((run) => run.committed.length === 0) ?? race.runs.at(-1))?.waitedMs ?? null)
  switch (race.outcome) {
    case 'applied twice':
      return [
        finding(
          'tool-race',
          'fail',
          race.twice.length > 0
            ? `Two migrators at once apply ${count(race.twice.length, 'statement')} twice: ${name} takes no lock that would prevent it`
            : `Two migrators at once apply a migration twice: ${name} takes no lock that would prevent it`,
          { ...rest, advice: ONE_AT_A_TIME },
        ),
      ]
    case 'broke':
      return [
        finding('tool-race', 'warn', `Two migrators at once: one of them breaks in the middle, and leaves nothing`, {
          ...rest,
          advice: ONE_AT_A_TIME,
        }),
      ]
    case 'both failed': {
      // A migration that fails alone tells nothing about two at once.
      const alone = facts.quiet?.migration.outcome.ok === false
      return [
        finding('tool-race', alone ? 'info' : 'fail', 'Two migrators at once: both fail', {
          ...rest,
          evidence: [...rest.evidence, ...(alone ? ['The migration fails alone, too.'] : [])],
          advice: alone ? null : ONE_AT_A_TIME,
        }),
      ]
    }
    case 'waited':
      return [
        finding(
          'tool-race',
          'info',
          `Two migrators at once: the second waited ${waited} and then found nothing to do`,
          rest,
        ),
      ]
    case 'refused':
      return [
        finding('tool-race', 'info', 'Two migrators at once: the second gives up without having changed anything', {
          ...rest,
          evidence: [...rest.evidence, 'An instance that migrates when it starts does not start then.'],
        }),
      ]
    case 'nothing to do':
      return [finding('tool-race', 'info', 'Two migrators at once: the second came too late to meet the first', rest)]
  }
}

function evidence(facts: Facts, race: RacePass): string[] {
  const ordinal = ['The first', 'The second']
  return [
    ...race.runs.map((run, i) => {
      const end = run.exitCode === null ? 'ended without an exit code' : `ended with exit code ${run.exitCode}`
      const error =
        run.error && run.error.sqlstate !== NO_SQLSTATE ? `, with ${run.error.sqlstate} (${run.error.condition})` : ''
      const longest = i > 0 && run.waitedMs > 0 ? `; its longest wait for an answer was ${ms(run.waitedMs)}` : ''
      return `${ordinal[i] ?? `Number ${i + 1}`} ${end} after ${ms(run.endMs - run.startMs)}${error}, and committed ${count(run.committed.length, 'statement')}${longest}.`
    }),
    ...race.twice.slice(0, 6).map((id) => {
      const at = facts.at(id)
      return `Twice: ${at ? `${at.file}:${at.line} ` : ''}${oneLine(facts.statement(id)?.sql ?? id, 100)}`
    }),
    ...(race.twice.length > 6 ? [`And ${race.twice.length - 6} more.`] : []),
    ...(race.journalRows.length > 0
      ? [`Its journal then holds more than one row for ${named(race.journalRows.map((row) => row.name))}.`]
      : []),
    'Each was held before its first change until the other had come as far, or for 2 s: how two may meet, not how often they do.',
  ]
}
