/**
 * What can be said of a migration file before it runs, from its statements and the way its tool sends them: statements
 * that the server refuses inside a transaction block (25001), and what ends the tool's transaction early. Pure.
 *
 * The server's rules: several statements in one simple Query are one transaction, whatever BEGIN or COMMIT is among
 * them; of pipelined ones only the first, and one right after a COMMIT, is outside of one (tried on PostgreSQL 18).
 */
import { factsOfNode } from '../../sql/facts.js'
import { lex } from '../../sql/lexer.js'
import { splitPieces, type SourceStatement } from '../../sql/split.js'
import { lineAt } from '../../sql/text.js'
import type { Range } from './files.js'
import type { MigrationSource, ToolNote } from './types.js'

/** How a tool sends a file. */
export interface Sending {
  /** For people: `Drizzle`. */
  tool: string
  /**
   * What the tool itself opens: one transaction for all pending files, one for each file, none around the message or
   * messages that a file is, none around its statements, each of which is a message.
   */
  transaction: 'all' | 'file' | 'message' | 'statement'
  /** Parts of `sql` that are sent as one message each; without it, the whole. */
  chunks?: (sql: string) => readonly Range[]
  /** `pipeline`: the statements of a message go one by one by the extended protocol with one Sync. `simple` by default. */
  protocol?: 'simple' | 'pipeline'
  /** What to do about a statement, e.g. `CREATE INDEX CONCURRENTLY`, that this tool cannot run. */
  advice: (what: string) => string
}

/** The right advice for each tool. */
export const ADVICE = {
  drizzle: (what) =>
    `Drizzle has no option for it. Run ${what} outside Drizzle before the deploy and write IF NOT EXISTS or IF EXISTS ` +
    'here, or put `COMMIT;` between two `--> statement-breakpoint` lines before it: then everything after it in this ' +
    'run, later files included, is committed statement by statement, and a failure leaves a part of it in place.',
  'node-pg-migrate': (what) =>
    `No option changes it for SQL files. Write ${what} in a JavaScript or TypeScript migration of its own that calls ` +
    'pgm.noTransaction(), one pgm.sql() for each statement.',
  prisma: (what) =>
    `Give ${what} a migration of its own: a file with exactly one statement runs without a transaction.`,
  supabase: (what) => `Give ${what} a migration file of its own: only the first statement of a file can run it.`,
  dbmate: (what) =>
    `Give ${what} a migration file of its own with \`-- migrate:up transaction:false\` and no other statement in it.`,
} as const satisfies Record<string, (what: string) => string>

/** Notes on files in the order in which the tool runs them. Files that do not parse have none: the server will tell. */
export function transactionNotes(files: readonly MigrationSource[], sending: Sending): ToolNote[] {
  const notes: ToolNote[] = []
  const { transaction } = sending
  let endedBy: string | null = null
  for (const file of files.filter(({ kind }) => kind === 'sql')) {
    const reader = new FileReader(file, sending, transaction === 'all' ? endedBy : null)
    notes.push(...reader.read())
    if (!reader.open) endedBy ??= file.shown
    else if (reader.endedHere) endedBy = null
  }
  return notes
}

class FileReader {
  readonly #file: MigrationSource
  readonly #sending: Sending
  /** The file before it that leaves the run without a transaction. */
  readonly #endedBy: string | null
  readonly #notes: ToolNote[] = []
  /** Whether an explicit transaction is open. */
  open: boolean
  /** Whether this file ended the tool's transaction, be it that it opened another one. */
  endedHere = false

  constructor(file: MigrationSource, sending: Sending, endedBy: string | null) {
    this.#file = file
    this.#sending = sending
    this.#endedBy = endedBy
    this.open = sending.transaction === 'all' || sending.transaction === 'file'
  }

  read(): ToolNote[] {
    const { sql } = this.#file
    const whole = { start: 0, end: sql.length }
    const chunks = this.#sending.chunks?.(sql) ?? [whole]
    for (const chunk of chunks) {
      const pieces = this.#parse(chunk)
      if (pieces === null) this.#brokenChunk(chunk, chunks.length)
      else if (this.#sending.transaction === 'statement') for (const piece of pieces) this.#message([piece])
      else this.#message(pieces)
    }
    return this.#notes
  }

  #parse({ start, end }: Range): SourceStatement[] | null {
    const { sql, shown } = this.#file
    try {
      return splitPieces(sql.slice(start, end), shown, lineAt(sql, start))
    } catch {
      return null
    }
  }

  /** A message of the client, for the server one implicit transaction unless it holds one statement. */
  #message(pieces: readonly SourceStatement[]): void {
    const pipeline = this.#sending.protocol === 'pipeline'
    let fresh = true
    for (const piece of pieces) {
      const facts = factsOfNode(piece.kind, piece.node)
      const alone = pieces.length === 1 || (pipeline && fresh)
      if (facts.refusesTransactionBlock && (this.open || !alone)) this.#refused(piece, pieces.length)
      const ends = facts.transaction === 'commit' || facts.transaction === 'rollback'
      if (facts.transaction === 'begin') this.open = true
      else if (ends && !facts.chains) {
        if (this.open && !this.endedHere) this.#ended(piece)
        this.open = false
      }
      fresh = ends && !facts.chains
    }
  }

  #refused(piece: SourceStatement, statements: number): void {
    const { tool, transaction, advice } = this.#sending
    const what = nameOf(piece)
    const refused = `${what} cannot run inside a transaction block (SQLSTATE 25001)`
    const line = piece.line
    if (this.open && this.#endedBy !== null && statements === 1 && !this.endedHere) {
      const message = `${refused}: it works here only when ${this.#endedBy}, which ends ${tool}'s transaction, runs in the same deploy.`
      this.#note({ kind: 'other', line, message, advice: advice(what) })
      return
    }
    const why = !this.open
      ? `${tool} sends it in one message with ${statements - 1} other statement${statements === 2 ? '' : 's'}, which the server runs as one transaction`
      : this.endedHere || transaction === 'message' || transaction === 'statement'
        ? 'the file itself has opened one'
        : transaction === 'all'
          ? `${tool} runs all pending files in one transaction`
          : `${tool} runs each file in a transaction`
    this.#note({ kind: 'impossible', line, message: `${refused}: ${why}.`, advice: advice(what) })
  }

  #ended(piece: SourceStatement): void {
    const { tool, transaction } = this.#sending
    this.endedHere = transaction === 'all' || transaction === 'file'
    if (!this.endedHere) return
    const rest = transaction === 'all' ? 'what comes after it, later files of the same run included' : 'the rest of it'
    const message = `${nameOf(piece)} ends the transaction that ${tool} has opened: ${rest} is committed statement by statement and stays when a later one fails.`
    this.#note({ kind: 'other', line: piece.line, message, advice: null })
  }

  /** The tool looks for its marker in the text, whatever it stands in. */
  #brokenChunk(chunk: Range, chunks: number): void {
    if (chunks < 2 || this.#parse({ start: 0, end: this.#file.sql.length }) === null) return
    const line = lineAt(this.#file.sql, chunk.end)
    if (this.#notes.some(({ message }) => message.includes('42601'))) return
    const message = `${this.#sending.tool} cuts the file at a marker inside a statement, and neither part is SQL (SQLSTATE 42601).`
    this.#note({ kind: 'impossible', line, message, advice: 'Move the marker out of the statement.' })
  }

  #note(note: Omit<ToolNote, 'file'>): void {
    this.#notes.push({ file: this.#file.shown, ...note })
  }
}

/** A byte order mark is sent along by tools that read files as UTF-8, and is no SQL; null when there is none. */
export const byteOrderMark = (file: MigrationSource, tool: string): ToolNote | null =>
  file.kind === 'sql' && file.sql.startsWith('\uFEFF')
    ? {
        kind: 'impossible',
        file: file.shown,
        line: 1,
        message: `the file begins with a byte order mark, which ${tool} sends along: a syntax error (SQLSTATE 42601).`,
        advice: 'Save the file as UTF-8 without a byte order mark.',
      }
    : null

/** The statement in the words of its command tag, as the server's message has it. */
function nameOf({ kind, node, sql }: SourceStatement): string {
  const { concurrently } = factsOfNode(kind, node)
  if (kind === 'IndexStmt') return concurrently ? 'CREATE INDEX CONCURRENTLY' : 'CREATE INDEX'
  if (kind === 'DropStmt' && concurrently) return 'DROP INDEX CONCURRENTLY'
  if (kind === 'ReindexStmt') return concurrently ? 'REINDEX CONCURRENTLY' : 'REINDEX'
  if (kind === 'AlterTableStmt' && concurrently) return 'ALTER TABLE ... DETACH CONCURRENTLY'
  if (kind === 'VacuumStmt') return 'VACUUM'
  if (kind === 'ClusterStmt') return 'CLUSTER'
  const words: string[] = []
  for (const token of lex(sql)) {
    if (token.kind === 'word') words.push(sql.slice(token.start, token.end).toUpperCase())
    else if (token.kind !== 'space' && token.kind !== 'comment') break
    if (words.length === (kind === 'TransactionStmt' ? 1 : 2)) break
  }
  return words.join(' ')
}
