/** The migration tool in words, for every output. Pure. */
import type { MigrationTool, PgError, RacePass, ToolNote, ToolRun } from '../recording.js'
import { formatMs, plural } from '../units.js'
import type { View } from './view.js'

/** `Drizzle (journal layout), drizzle-kit 0.31.11`. */
export const toolWords = (tool: MigrationTool): string =>
  [tool.title, ...(tool.version === null ? [] : [tool.version])].join(', ')

/** How one run of it ended. */
export const exitWords = (run: ToolRun): string =>
  run.exitCode !== null ? `exit code ${run.exitCode}` : run.signal === null ? 'did not start' : `ended by ${run.signal}`

/** Both runs in one phrase: `exit code 0 at rest, exit code 1 under traffic`, said once where they are the same. */
export const endings = (view: View): string | null => {
  const at = (pass: View['quiet'] | View['timed'], where: string) => {
    const run = pass?.migration.tool ?? null
    return run === null ? [] : [{ words: exitWords(run), where }]
  }
  const all = [...at(view.quiet, 'at rest'), ...at(view.timed, 'under traffic')]
  const [first] = all
  if (first === undefined) return null
  return all.length > 1 && all.every((one) => one.words === first.words)
    ? `${first.words} at rest and under traffic`
    : all.map((one) => `${one.words} ${one.where}`).join(', ')
}

/** What a note is about, in a word or two. */
export const NOTE_WORDS: Readonly<Record<ToolNote['kind'], string>> = {
  skipped: 'skipped in silence',
  unlisted: 'not listed',
  impossible: 'impossible in this tool',
  blocked: 'closed by the harness',
  order: 'order not checked',
  other: 'note',
}

/** The sign that goes with a note. */
export const noteStatus = (note: ToolNote): 'fail' | 'warn' | 'info' =>
  note.kind === 'skipped' || note.kind === 'impossible'
    ? 'fail'
    : note.kind === 'unlisted' || note.kind === 'order'
      ? 'warn'
      : 'info'

export const notePlace = (note: ToolNote): string | null =>
  note.file === null ? null : note.line === null ? note.file : `${note.file}:${note.line}`

const ENDS: Readonly<Record<RacePass['outcome'], (waited: string) => string>> = {
  waited: (waited) => `The second run waited ${waited} for the first, and then found nothing to do.`,
  refused: () => 'The second run gave up without having changed anything.',
  'nothing to do': () => 'The second run came too late to meet the first: there was nothing left to do.',
  'applied twice': () => 'Both runs applied the same statements: they took effect twice.',
  broke: () => 'One run failed in the middle by an error of the server, and left nothing.',
  'both failed': () => 'Neither run succeeded.',
}

/** What came of two migrators at once, in one sentence. The longest answer of the one that worked is its own work. */
export const raceSentence = (race: RacePass): string =>
  ENDS[race.outcome](
    formatMs((race.runs.find((run) => run.committed.length === 0) ?? race.runs.at(-1))?.waitedMs ?? null),
  )

/** The server's error that ended a run; null where the tool gave up by itself. */
export const raceError = (run: RacePass['runs'][number]): PgError | null =>
  run.error === null || run.error.sqlstate === 'TOOL' ? null : run.error

/** Whether that is bad, worth a look, or as it should be. */
export const raceStatus = (race: RacePass): 'fail' | 'warn' | 'ok' =>
  race.outcome === 'applied twice' ? 'fail' : race.outcome === 'broke' || race.outcome === 'both failed' ? 'warn' : 'ok'

/** What the journal says of the pending migrations after a run, in sentences. */
export const journalSentences = (run: ToolRun): string[] => {
  if (run.journal === null) return ['Not known: no journal table was recognised.']
  const { added, missing, refuses } = run.journal
  return [
    ...(added.length > 0 ? [`Counts as applied: ${added.join(', ')}.`] : []),
    ...(missing.length > 0 ? [`Does not count as applied: ${missing.join(', ')}.`] : []),
    ...(added.length === 0 && missing.length === 0 ? ['Nothing was pending.'] : []),
    ...(refuses === null ? [] : [`The next run will be refused: ${refuses}`]),
  ]
}

/** Who the error was told to, where the tool had one. */
export const toldWords = (run: ToolRun): string | null =>
  run.toldError === null
    ? null
    : run.toldError
      ? 'it printed the error'
      : 'it did not print the error that the server gave it'

export const messagesInAll = (run: ToolRun): string => plural(run.messages.length + run.messagesNotListed, 'message')
