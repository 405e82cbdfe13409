/**
 * The one door to libpg-query, PostgreSQL's own parser. Its module is loaded once when this file is imported, so that
 * everything behind the door is synchronous.
 */
import { hasSqlDetails, loadModule, parseSync } from 'libpg-query'
import type { Node } from 'libpg-query'
import { byteIndexer, characterIndex } from './text.js'

await loadModule()

export type { Node }

/** A node of the parse tree is an object with one key, the kind of node, e.g. `{ SelectStmt: {...} }`. */
export interface ParsedStatement {
  kind: string
  node: Node
  /** Indexes into the text: from the first token to before the semicolon; comments at the end may be inside. */
  start: number
  end: number
}

/** The text is not SQL. `index` is where in the text the parser stopped. */
export class SqlSyntaxError extends Error {
  readonly index: number
  constructor(message: string, index: number, cause?: unknown) {
    super(message, { cause })
    this.name = 'SqlSyntaxError'
    this.index = index
  }
}

/** Parses a text of any number of statements. Throws SqlSyntaxError. The text must not hold NUL characters. */
export function parseSql(text: string): ParsedStatement[] {
  if (text.trim() === '') return []
  let statements
  try {
    statements = parseSync(text).stmts ?? []
  } catch (error) {
    if (!hasSqlDetails(error)) throw error
    const index = characterIndex(text, error.sqlDetails?.cursorPosition ?? 0)
    throw new SqlSyntaxError(error.message, index, error)
  }
  const toIndex = byteIndexer(text)
  const parsed: ParsedStatement[] = []
  for (const { stmt, stmt_location = 0, stmt_len = 0 } of statements) {
    if (stmt === undefined) continue
    const start = toIndex(stmt_location)
    const end = stmt_len === 0 ? text.length : toIndex(stmt_location + stmt_len)
    parsed.push({ kind: Object.keys(stmt)[0] ?? 'unknown', node: stmt, start, end })
  }
  return parsed
}

/**
 * Calls `visit` for every object in the tree, parents first, with its kind (`A_Const`) or, where the kind is understood,
 * the name of the field that holds it (`typeName`).
 */
export function walk(tree: unknown, visit: (name: string, fields: Readonly<Record<string, unknown>>) => void): void {
  if (Array.isArray(tree)) {
    for (const item of tree) walk(item, visit)
  } else if (isRecord(tree)) {
    for (const [name, value] of Object.entries(tree)) {
      if (isRecord(value)) visit(name, value)
      walk(value, visit)
    }
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
