/** The report for a pull request: verdict, limits, findings; the rest folded. At most 60 KB (a comment holds 64). */
import type { Finding, Report } from '../recording.js'
import { compatRows, compatSentences, sqlstateOf } from './compat-words.js'
import { disturbancesMarkdown } from './markdown-disturbances.js'
import { code, details, fenced, plain, table } from './markdown-text.js'
import { timingsMarkdown } from './markdown-timings.js'
import { outcomeWords } from './sections/statements.js'
import { shorten, visibleDeep } from './text.js'
import { trafficLine } from './traffic-words.js'
import { endings, NOTE_WORDS, notePlace, noteStatus, raceSentence, raceStatus, toolWords } from './tool-words.js'
import * as u from '../units.js'
import { blocksWords, markOf, notMeasured, placeOf, type View, viewOf, worstFirst } from './view.js'

/** Bytes of UTF-8 that the whole may have. */
export const MOST_BYTES = 60_000
const ROWS = 60
const LONGEST_SQL = 2_000
const LONGEST_TEXT = 600
const CUT = '*Cut here: all of it is in report.html and report.json.*'

const sentence = (text: string): string => plain(shorten(text, LONGEST_TEXT))
const name = (text: string): string => code(shorten(text, 120), true)
const list = (items: readonly string[]): string =>
  items
    .slice(0, ROWS)
    .map((item) => `- ${sentence(item)}`)
    .join('\n')
const some = <T>(items: readonly T[]): readonly T[] => items.slice(0, ROWS)
const andMore = (count: number): string => (count > ROWS ? `\n\n*and ${count - ROWS} more in report.html*` : '')

const limits = ({ report }: View): string =>
  table(
    ['', 'limit', 'warn above', 'fail above', 'measured', 'projected to production', 'worst at'],
    some(report.budgets).map((one) => [
      markOf(one.status).sign,
      sentence(one.label),
      u.formatLimit(one.warn, one.unit),
      u.formatLimit(one.fail, one.unit),
      one.status === 'fail' ? `**${u.formatMeasured(one)}**` : u.formatMeasured(one),
      one.projected === null ? '' : `*${u.formatRange(one.projected.lowMs, one.projected.highMs)}*`,
      one.worstAt === null ? '' : name(one.worstAt),
    ]),
    [2, 3, 4],
  )

const finding = (view: View, one: Finding): string => {
  const found = one.at === null ? undefined : view.byId.get(one.at.statement)
  const place = [...(one.at === null ? [] : [code(`${one.at.file}:${one.at.line}`)]), code(one.rule)].join(' · ')
  return [
    `#### ${markOf(one.severity).sign} ${sentence(one.title)}`,
    place,
    list(one.evidence),
    ...(one.projection === null ? [] : [`*${sentence(u.explainProjection(one.projection))}*`]),
    ...(found === undefined ? [] : [fenced(shorten(found.statement.sql, LONGEST_SQL))]),
    ...(one.advice === null ? [] : [`**Instead:** ${sentence(one.advice.text)}`]),
    ...(one.advice?.sql == null ? [] : [fenced(shorten(one.advice.sql, LONGEST_SQL))]),
  ]
    .filter((part) => part !== '')
    .join('\n\n')
}

/** The tool in one line, then what it hides. */
const tool = (view: View): string | null => {
  const { tool: one } = view.report.recording
  if (one === null) return null
  const ended = endings(view)
  const line = [
    `${sentence(toolWords(one))}: ${code(shorten(one.command, 200))}`,
    ...(one.how === 'replay' ? [`replayed (${sentence(one.why ?? 'its messages were sent by the harness')})`] : []),
    `pending: ${sentence(one.pendingBy)}`,
    ...(ended === null ? [] : [sentence(ended)]),
  ].join(' · ')
  const notes = some(one.notes).map((note) => {
    const place = notePlace(note)
    return `- ${markOf(noteStatus(note)).sign} ${NOTE_WORDS[note.kind]}${place === null ? '' : ` ${code(place)}`}: ${sentence(note.message)}`
  })
  return [line, ...(notes.length === 0 ? [] : [notes.join('\n') + andMore(one.notes.length)])].join('\n\n')
}

const race = ({ race: one }: View): string | null =>
  one === null ? null : `Two migrators at once: ${markOf(raceStatus(one)).sign} ${sentence(raceSentence(one))}`

const traffic = ({ report }: View): string | null => {
  const line = trafficLine(report)
  return line === null ? null : `Traffic: ${sentence(line)}`
}

const statements = (view: View): string =>
  details(
    `Statements (${view.statements.length})`,
    table(
      ['#', 'statement', 'quiet', 'timed', 'strongest lock', 'held', 'sessions blocked', 'outcome'],
      some(view.statements).map((one) => {
        const span = one.spans.find((s) => s.mode === one.strongest?.mode && s.relation === one.strongest.relation)
        const took = (run: typeof one.timed): string => u.formatMs(run === null ? null : run.endMs - run.startMs)
        return [
          String(one.number),
          name(`${one.statement.file}:${one.statement.line}`),
          took(one.quiet),
          took(one.timed),
          one.strongest === null ? '–' : `${one.strongest.mode} on ${name(one.strongest.relation)}`,
          u.formatBracket(span?.heldMs ?? null),
          view.timed === null ? u.NOT_MEASURED : u.formatCount(one.blocked?.sessions ?? 0),
          sentence(outcomeWords(one).words),
        ]
      }),
      [0, 2, 3, 5, 6],
    ) + andMore(view.statements.length),
  )

const relations = ({ report, byId, ...rest }: View): string =>
  details(
    `Strongest lock per relation (${report.relations.length})`,
    table(
      ['relation', 'strongest lock', 'blocks', 'taken at', 'held', 'sessions blocked', 'longest wait'],
      some(report.relations).map((one) => [
        name(one.relation),
        one.strongest,
        blocksWords(one.blocksReads, one.blocksWrites),
        name(placeOf({ report, byId, ...rest }, one.statement)),
        u.formatBracket(one.heldMs),
        u.formatCount(one.sessionsBlocked),
        one.longestWaitMs === null && one.sessionsBlocked === 0 ? '–' : u.formatBracket(one.longestWaitMs),
      ]),
      [4, 5, 6],
    ) + andMore(report.relations.length),
  )

const compat = ({ quiet }: View): string | null => {
  if (quiet === null || quiet.compat.length === 0) return null
  const rows = compatRows(quiet)
  const cell = (ends: (string | null)[]): string => ends.map((end) => end ?? '✓').join(' / ')
  return [
    list(compatSentences(quiet).map((one) => `${markOf(one.bad ? 'fail' : 'info').sign} ${one.text}`)),
    details(
      'Old and new release on every state of the schema',
      table(
        ['operation', ...quiet.states.map((state) => sentence(state.label))],
        some(rows).map((row) => [
          `${row.release} ${name(row.operation)}`,
          ...row.cells.map((one) =>
            one === null
              ? u.NOT_MEASURED
              : cell(
                  [sqlstateOf(one.fresh), ...(one.prepared === null ? [] : [sqlstateOf(one.prepared)])].map((s) =>
                    s === null ? null : code(s, true),
                  ),
                ),
          ),
        ]),
      ) + `${andMore(rows.length)}\n\nA cell is the operation sent anew, then prepared before the migration.`,
    ),
  ].join('\n\n')
}

const errors = ({ timed }: View): string | null =>
  timed === null || timed.errors.length === 0
    ? null
    : details(
        `Errors of the traffic (${timed.errors.length})`,
        table(
          ['operation', 'SQLSTATE', 'condition', 'errors', 'hidden by the driver'],
          some(timed.errors).map((one) => [
            `${one.release} ${name(one.operation)}`,
            name(one.error.sqlstate),
            sentence(one.error.condition),
            u.formatCount(one.count),
            one.hidden ? 'yes' : 'no',
          ]),
          [3],
        ) + andMore(timed.errors.length),
      )

const measuredHow = (view: View): string => {
  const { recording } = view.report
  const env = recording.environment
  return details(
    'How this was measured',
    [
      ...(env === null
        ? []
        : [
            `PostgreSQL ${sentence(env.postgres)}, ${sentence(env.provider)}; ${u.formatCount(recording.rows)} rows, seed ${recording.seed}.`,
            fenced(shorten(env.commandLine, LONGEST_SQL), 'sh'),
          ]),
      ...(recording.assumptions.length > 0 ? [`Taken for granted:\n\n${list(recording.assumptions)}`] : []),
      ...(recording.warnings.length > 0 ? [`Warnings:\n\n${list(recording.warnings)}`] : []),
      `Not measured:\n\n${list(notMeasured(view))}`,
    ].join('\n\n'),
  )
}

const bytes = (text: string): number => new TextEncoder().encode(text).length

/** GitHub Flavored Markdown of at most MOST_BYTES. Parts are whole or absent; a last line says when some are absent. */
export const markdown = (report: Report): string => {
  const view = viewOf(visibleDeep(report))
  const findings = worstFirst(view.report.findings)
  const { recording, verdict, headline } = view.report
  const parts = [
    `### ${markOf(verdict).sign} ${verdict}: ${sentence(headline)}`,
    `${code(shorten(recording.name, 120))}${recording.stopped === null ? '' : ` · not complete: ${sentence(recording.stopped.message)}`}`,
    tool(view),
    race(view),
    traffic(view),
    view.report.budgets.length === 0 ? 'No limit was judged: nothing was measured.' : limits(view),
    disturbancesMarkdown(view),
    ...findings.map((one) => finding(view, one)),
    ...(view.statements.length === 0 ? [] : [statements(view)]),
    ...(view.report.relations.length === 0 ? [] : [relations(view)]),
    compat(view),
    timingsMarkdown(view),
    errors(view),
    measuredHow(view),
  ]
  let out = ''
  for (const part of parts) {
    if (part === null || part === '') continue
    if (bytes(out) + bytes(part) + 2 > MOST_BYTES - bytes(CUT) - 2) return `${out}${CUT}\n`
    out += `${part}\n\n`
  }
  return `${out.trimEnd()}\n`
}
