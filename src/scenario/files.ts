/** The SQL files of a scenario, read and checked. */
import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { relative, resolve, sep } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { MigrationFile, Statement, TransactionMode } from '../recording.js'
import { lex } from '../sql/lexer.js'
import { expandPsql } from '../sql/psql.js'
import { splitPieces, splitSql, statementFacts } from '../sql/split.js'
import { lineAt } from '../sql/text.js'
import { isHeader, parseHeader } from '../traffic/script-header.js'
import { readText } from './read-text.js'

export interface SqlFile {
  file: string
  statements: Statement[]
}

/** A query that must return no row. */
export interface CheckQuery {
  name: string
  file: string
  /** Line of the query's first token. */
  line: number
  sql: string
}

/** A scenario's folder, and how its files are called in messages and reports. */
export class Folder {
  readonly path: string
  constructor(path: string) {
    this.path = resolve(path)
  }

  resolve(file: string): string {
    return resolve(this.path, file)
  }

  /** Relative to the working directory where the file is below it, else relative to the folder: something to click on. */
  shown(path: string): string {
    const fromHere = relative(process.cwd(), path)
    const inside = fromHere !== '..' && !fromHere.startsWith(`..${sep}`) && resolve(fromHere) === path
    return (inside ? fromHere : relative(this.path, path)).split(sep).join('/') || '.'
  }

  async has(file: string): Promise<boolean> {
    return (await kindOf(this.resolve(file))) === 'file'
  }
}

export async function kindOf(path: string): Promise<'file' | 'folder' | null> {
  try {
    const found = await stat(path)
    return found.isDirectory() ? 'folder' : 'file'
  } catch {
    return null
  }
}

/** A schema file: SQL with the few psql commands that pg_dump and seeds use. */
export async function readSchema(path: string, shown: string, rows: number): Promise<SqlFile> {
  const text = expandPsql(await readText(path, shown), shown, { n: String(rows) }, 'keep')
  return { file: shown, statements: notEmpty(await splitSql(text, shown), shown) }
}

/** As a schema file, with `:n` and every other variable required to be set. */
export async function readSeed(path: string, shown: string, rows: number): Promise<SqlFile> {
  const text = expandPsql(await readText(path, shown), shown, { n: String(rows) })
  return { file: shown, statements: notEmpty(await splitSql(text, shown), shown) }
}

/** A migration file: SQL and nothing else. A first line `-- rehearse: no-transaction` overrides the mode. */
export async function readMigration(path: string, shown: string, mode: TransactionMode): Promise<MigrationFile> {
  const text = await readText(path, shown)
  const statements = notEmpty(await splitSql(text, shown), shown)
  const [, directive] = /^--\s*rehearse:\s*([^\r\n]*)/.exec(text) ?? []
  if (directive !== undefined && directive.trim() !== 'no-transaction')
    throw new RehearsalError('SCENARIO_INVALID', {
      file: shown,
      line: 1,
      message: `unknown "-- rehearse: ${directive.trim()}" ("-- rehearse: no-transaction" is known)`,
    })
  const sha256 = createHash('sha256')
    .update(await readFile(path))
    .digest('hex')
  return {
    file: shown,
    sha256,
    transaction: directive === undefined ? mode : 'none',
    name: null,
    kind: 'sql',
    statements,
  }
}

function notEmpty(statements: Statement[], file: string): Statement[] {
  if (statements.length > 0) return statements
  throw new RehearsalError('SCENARIO_INVALID', { file, message: 'no statement in this file' })
}

/** Data checks: sections `-- name: x` of one query each. */
export async function readChecks(path: string, shown: string): Promise<CheckQuery[]> {
  const text = await readText(path, shown)
  const fail = (index: number, message: string): never => {
    throw new RehearsalError('SCENARIO_INVALID', { file: shown, line: lineAt(text, index), message })
  }
  const headers = [...lex(text)].filter(
    ({ kind, start, end }) => kind === 'comment' && isHeader(text.slice(start, end)),
  )
  const begin = headers[0]?.start ?? text.length
  const early = [...lex(text.slice(0, begin))].find(({ kind }) => kind !== 'space' && kind !== 'comment')
  if (early !== undefined) fail(early.start, 'a query before the first "-- name: ..."')
  if (headers.length === 0) fail(0, 'no check: each begins with a line "-- name: ..."')
  const names = new Set<string>()
  return headers.map(({ start, end }, i) => {
    const comment = text.slice(start, end)
    const { name } = parseHeader(comment, shown, lineAt(text, start))
    if (comment.replace(/;\s*$/, '').includes(';')) fail(start, 'a check has a name and nothing else')
    if (names.has(name)) fail(start, `a second check named ${name}`)
    names.add(name)
    const [piece, second] = splitPieces(text.slice(end, headers[i + 1]?.start), shown, lineAt(text, end))
    if (piece === undefined) return fail(start, `check ${name} has no query`)
    if (second !== undefined || !isQuery(piece.sql)) {
      const message = `check ${name} must be one query that only reads`
      throw new RehearsalError('SCENARIO_INVALID', { file: shown, line: (second ?? piece).line, message })
    }
    return { name, file: shown, line: piece.line, sql: piece.sql }
  })
}

const isQuery = (sql: string): boolean => statementFacts(sql).isQuery
