/** placeholder */
import type { Exchange, ServerMessage } from './types.js'

export const MARKERS = {
  superuser: { client_min_messages: 'debug1', log_parser_stats: 'on' },
  role: { client_min_messages: 'debug1', debug_print_parse: 'on', debug_pretty_print: 'off' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>

/** Messages of the settings above; none is translated (errmsg_internal). */
const OF_SETTINGS = new Set(['PARSER STATISTICS', 'PARSE ANALYSIS STATISTICS', 'REWRITER STATISTICS', 'parse tree:'])
/** Those of them that come once for each statement, when it was analysed. */
const OF_STATEMENT = new Set(['PARSE ANALYSIS STATISTICS', 'parse tree:'])

/** Whether a notice came of MARKERS' settings and has nothing else to tell. */
export const isMarker = (notice: ServerMessage): boolean =>
  notice.severity === 'LOG' && OF_SETTINGS.has(notice.message)

/**
 * Whether the client would not have got it without our settings, as far as its severity tells. The protocol's field V
 * says DEBUG for all five levels. NOTICE, WARNING and INFO are the client's at all times.
 */
export const isOurs = ({ severity }: ServerMessage): boolean => severity === 'LOG' || /^DEBUG[1-5]?$/.test(severity)

/** When one statement of a message ran. */
export interface StatementTime {
  startMs: number
  endMs: number
}

/**
 * Times of the statements of the one simple command of an exchange, in order: as many as it has CommandComplete
 * messages, and one more for an error. null when they cannot be told.
 */
export function statementTimes(exchange: Exchange): StatementTime[] | null {
  const [command, ...others] = exchange.commands
  if (command?.protocol !== 'simple' || others.length > 0) return null
  const ends = command.completed.map(({ atMs }) => atMs)
  if (command.error) ends.push(command.error.atMs)
  const marks = exchange.notices.filter(startsStatement).map(({ atMs }) => atMs)
  const times: StatementTime[] = []
  let next = 0
  for (const [index, endMs] of ends.entries()) {
    const previous = ends[index - 1]
    if (previous === undefined) {
      times.push({ startMs: command.sentMs, endMs })
      continue
    }
    // Marks before the end of the statement before belong to it and to what it ran inside.
    while (next < marks.length && (marks[next] ?? 0) < previous) next++
    const startMs = marks[next++]
    // What fails in its analysis has no mark: its error came right after the end of the statement before.
    const isUnmarkedError = index === command.completed.length && command.error !== null
    if (startMs !== undefined && startMs <= endMs) times.push({ startMs, endMs })
    else if (isUnmarkedError) times.push({ startMs: previous, endMs })
    else return null
  }
  return times
}

/** A statement that runs inside another one (function, trigger, DO, foreign key check) says so in its CONTEXT. */
const startsStatement = (notice: ServerMessage): boolean =>
  notice.severity === 'LOG' && OF_STATEMENT.has(notice.message) && !notice.fields.has('W')
