/** Files of SQL into statements, by PostgreSQL's own parser. */
import { RehearsalError } from '../errors.js'
import type { Statement } from '../recording.js'
import { actionsOf, factsOfNode } from './facts.js'
import { lex } from './lexer.js'
import { parseSql, SqlSyntaxError, type Node, type ParsedStatement } from './parser.js'
import { lineAt, refuseNul } from './text.js'

export { statementFacts, type StatementFacts } from './facts.js'

/** A statement in its file, with its parse tree. */
export interface SourceStatement {
  kind: string
  node: Node
  /** As written, without the semicolon and without comments and white space around it. */
  sql: string
  /** Index of its first token in the text. */
  start: number
  /** 1-based line of its first token. */
  line: number
}

const COPY_MESSAGE = 'COPY ... FROM STDIN brings its data in the file, which only psql can do: use INSERT, or a seed'

/**
 * The statements of a file. Throws SQL_UNREADABLE with the line for a syntax error, a NUL character, a psql command and
 * COPY ... FROM STDIN. Empty statements are left out; a file of comments gives an empty list.
 */
// Nothing is awaited today; callers that await keep working should parsing move to a worker.
// eslint-disable-next-line @typescript-eslint/require-await
export async function splitSql(text: string, file: string): Promise<Statement[]> {
  return toStatements(splitPieces(text, file), file)
}

/** Statements of the Recording from the pieces of a file. */
export const toStatements = (pieces: readonly SourceStatement[], file: string): Statement[] =>
  pieces.map(({ kind, node, sql, line }, i) => ({
    id: `${file}#${i + 1}`,
    file,
    line,
    exactLine: true,
    ordinal: i + 1,
    sql,
    kind,
    concurrently: factsOfNode(kind, node).concurrently,
    actions: actionsOf(node),
  }))

/** As splitSql, with the parse trees. `firstLine` is the line in the file at which the text begins. */
export function splitPieces(source: string, file: string, firstLine = 1): SourceStatement[] {
  const text = source.startsWith('\uFEFF') ? ` ${source.slice(1)}` : source
  const fail = (index: number, message: string, cause?: unknown): never => {
    const line = firstLine - 1 + lineAt(text, index)
    throw new RehearsalError('SQL_UNREADABLE', { file, line, message }, cause)
  }
  refuseNul(text, file)
  let parsed: ParsedStatement[]
  try {
    parsed = parseSql(text)
  } catch (error) {
    if (!(error instanceof SqlSyntaxError)) throw error
    const copy = copyBefore(text, error.index)
    if (copy !== null) return fail(copy.start, COPY_MESSAGE, error)
    const command = /^\\\S*/.exec(text.slice(error.index))
    if (command !== null) return fail(error.index, `${command[0]} is a command of psql, not SQL`, error)
    return fail(error.index, error.message, error)
  }
  const copy = parsed.find(isCopyFromStdin)
  if (copy !== undefined) fail(copy.start, COPY_MESSAGE)
  let line = firstLine
  let counted = 0
  return parsed.map(({ kind, node, start, end }) => {
    line += lineAt(text.slice(counted, start), start - counted) - 1
    counted = start
    return { kind, node, start, line, sql: withoutTail(text.slice(start, end)) }
  })
}

/** Cuts white space and comments after the last token. */
function withoutTail(sql: string): string {
  let end = 0
  for (const token of lex(sql)) if (token.kind !== 'space' && token.kind !== 'comment') end = token.end
  return sql.slice(0, end)
}

function isCopyFromStdin({ node }: ParsedStatement): boolean {
  return 'CopyStmt' in node && node.CopyStmt.is_from === true && node.CopyStmt.filename === undefined
}

/**
 * The parser takes the data after COPY ... FROM STDIN for SQL and stops in it. Then what stands before, up to a
 * semicolon, parses and ends in the COPY. Data may hold semicolons too, so a few are tried.
 */
function copyBefore(text: string, index: number): ParsedStatement | null {
  let semicolon = index
  for (let tries = 0; tries < 20; tries++) {
    semicolon = text.lastIndexOf(';', semicolon - 1)
    if (semicolon <= 0) return null
    try {
      const last = parseSql(text.slice(0, semicolon)).at(-1)
      return last !== undefined && isCopyFromStdin(last) ? last : null
    } catch {
      continue
    }
  }
  return null
}
