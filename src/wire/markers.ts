/**
 * Marks between the statements of one message.
 *
 * The server answers a simple Query of several statements, and a pipelined batch, all at once: CommandComplete waits in
 * its buffer until that is full, or ReadyForQuery is sent. But it flushes after every notice (send_message_to_frontend),
 * and with it the CommandComplete of the statement before. So each statement has its time once the server has something
 * to say about each. Found on PostgreSQL 18.4, 16 and 15.18 with the settings below; test/slow/wire-markers.test.ts repeats it.
 *
 * - `log_parser_stats` (only a superuser may set it, also for another role: ALTER ROLE ... SET) says PARSER STATISTICS
 *   once for a message, then for every statement, utility or not, PARSE ANALYSIS STATISTICS and REWRITER STATISTICS.
 *   The first of a statement's own comes after its analysis. In the extended protocol all three come with Parse, and
 *   they flush what the commands before have answered, so that each Execute has its own time there without our help.
 * - `debug_print_parse` (any role) says `parse tree:` at the same place, with the tree in the DETAIL: about 0.9 kB for a
 *   BEGIN, 2.5 kB for a small CREATE TABLE or INSERT, 3.2 MB for a VALUES list of 10,000 rows of two columns. `debug_pretty_print`
 *   off saves its indentation.
 * - Marks of what runs inside a statement (functions in SQL or PL/pgSQL, DO, triggers, foreign key checks, CREATE FUNCTION
 *   checking its body) name it in their CONTEXT. PREPARE, COPY (query) and EXECUTE that has to plan again repeat
 *   marks without one; but these come before the CommandComplete of their own statement, and the first mark after that
 *   is the next one's. CREATE TABLE AS, views, EXPLAIN, DECLARE, rules and CALL have one mark, and so has CREATE
 *   EXTENSION, which silences its script.
 * - Analysis takes the table locks of SELECT, INSERT, UPDATE, DELETE and MERGE. Where such a statement has to wait for its
 *   table, it does so before its mark, and the time falls to the statement before (`log_lock_waits` announces it after
 *   deadlock_timeout, which flushes too). ALTER TABLE and everything else that is no query waits behind its mark.
 * - `client_min_messages=debug5` would cost no privilege and marks the ends of transactions, but not statements.
 *
 * Costs, in ms for 1000 statements (2 cores that others used too, PostgreSQL 18.4 over loopback without a proxy; median of
 * eight rounds that alternate with the settings at their defaults; bare = default settings):
 *
 * |                                       | bare | superuser | superuser, logging all | role |
 * | ------------------------------------- | ---: | --------: | ---------------------: | ---: |
 * | `select 1` in one message             |    9 |        36 |                    160 |  102 |
 * | `insert ... values (1, 'a')` likewise |   12 |        54 |                    385 |  237 |
 * | `create table`, `drop table` likewise |  807 |      1140 |                   1170 | 1170 |
 *
 * and for one INSERT of 10,000 rows 28, 31, 40 and 116 ms. So a mark costs 0.03 to 0.04 ms, and several times that where
 * the server also writes it to its own log: hence `log_min_messages=fatal`, which only a superuser can set. On a server
 * where we are none the trees go to its log, constants and all, unless log_error_verbosity is terse. client_min_messages
 * =debug1 by itself costs nothing that could be measured in statements that have nothing to announce.
 */
import type { Exchange, ServerMessage } from './types.js'

/** Settings of the migration's role that mark statements; `role` where we are no superuser. */
export const MARKERS = {
  superuser: { client_min_messages: 'debug1', log_parser_stats: 'on', log_min_messages: 'fatal' },
  role: { client_min_messages: 'debug1', debug_print_parse: 'on', debug_pretty_print: 'off' },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>

/** Messages of the settings above; none is translated (errmsg_internal). */
const OF_SETTINGS = new Set(['PARSER STATISTICS', 'PARSE ANALYSIS STATISTICS', 'REWRITER STATISTICS', 'parse tree:'])
/** Those of them that come once for each statement, when it was analysed. */
const OF_STATEMENT = new Set(['PARSE ANALYSIS STATISTICS', 'parse tree:'])

/** Whether a notice came of MARKERS' settings and has nothing else to tell. */
export const isMarker = (notice: ServerMessage): boolean => notice.severity === 'LOG' && OF_SETTINGS.has(notice.message)

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
 * Times of the statements of an exchange, in order: of its one simple command, or of the commands of a pipeline. As many as
 * there are CommandComplete messages, and one more for an error. null when they cannot be told.
 */
export function statementTimes(exchange: Exchange): StatementTime[] | null {
  const { commands } = exchange
  const [command] = commands
  // Commands that were prepared before the pipeline have no Parse in it, and no marks.
  const isPipeline = commands.length > 1 && commands.every(({ protocol }) => protocol === 'extended')
  if (!command || (commands.length === 1 ? command.protocol !== 'simple' : !isPipeline)) return null
  const completed = commands.flatMap((each) => each.completed)
  const error = commands.find((each) => each.error !== null)?.error ?? null
  const ends = completed.map(({ atMs }) => atMs)
  if (error) ends.push(error.atMs)
  const marks = exchange.notices.filter(startsStatement).map(({ atMs }) => atMs)
  const times: StatementTime[] = []
  let next = 0
  for (const [index, endMs] of ends.entries()) {
    const previous = ends[index - 1]
    if (previous === undefined) {
      times.push({ startMs: command.sentMs, endMs })
      // Its own mark, which may have been read together with its end, is not the next one's.
      if ((marks[0] ?? Infinity) <= endMs) next++
      continue
    }
    // Marks before the end of the statement before belong to it and to what it ran inside.
    while (next < marks.length && (marks[next] ?? 0) < previous) next++
    const startMs = marks[next++]
    // What fails in its analysis has no mark: its error came right after the end of the statement before.
    const isUnmarkedError = index === completed.length && error !== null
    if (startMs !== undefined && startMs <= endMs) times.push({ startMs, endMs })
    else if (isUnmarkedError) times.push({ startMs: previous, endMs })
    else return null
  }
  return times
}

/** A statement that runs inside another one (function, trigger, DO, foreign key check) says so in its CONTEXT. */
const startsStatement = (notice: ServerMessage): boolean =>
  notice.severity === 'LOG' && OF_STATEMENT.has(notice.message) && !notice.fields.has('W')
