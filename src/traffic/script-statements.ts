/** SQL of a script into statements whose variables can be bound: as parameters when prepared, inside the text when not. */
import { RehearsalError } from '../errors.js'
import { factsOfNode } from '../sql/facts.js'
import { lex } from '../sql/lexer.js'
import { normaliseSql } from '../sql/normalise.js'
import { parseSql, SqlSyntaxError } from '../sql/parser.js'
import { splitPieces, type SourceStatement } from '../sql/split.js'
import { lineAt } from '../sql/text.js'
import { findVariables, replaceVariables, type Placed } from '../sql/variables.js'
import type { Value } from './expression.js'
import type { BoundStatement } from './operation.js'

export interface BindableStatement {
  line: number
  /** Without literals and comments. */
  normalised: string
  /** With `$n`, when PREPARE accepts it. */
  preparable: string | null
  bind(values: ReadonlyMap<string, Value>): BoundStatement
}

export interface Chunk {
  text: string
  file: string
  /** Line of the file at which the text begins. */
  firstLine: number
  prepared: boolean
}

/** A statement as text between variables: one more text than names. */
interface Template {
  texts: string[]
  names: string[]
}

/** Throws SCRIPT_INVALID for a variable that is not known, SQL_UNREADABLE for a syntax error, both with the line. */
export function readStatements(chunk: Chunk, known: ReadonlySet<string>): BindableStatement[] {
  const { text, file, firstLine, prepared } = chunk
  const fail = (index: number, message: string): never => {
    throw new RehearsalError('SCRIPT_INVALID', { file, line: firstLine - 1 + lineAt(text, index), message })
  }
  const references = findVariables(text).filter((reference) => reference.form === 'plain')
  for (const { name, start } of references)
    if (!known.has(name)) fail(start, `:${name} is never set (in an array slice, write spaces around the colon)`)
  for (const { kind, start, end } of lex(text))
    if (kind === 'parameter') fail(start, `${text.slice(start, end)}: values of a script are written :name`)

  // With a stand-in for each variable the parser can find where statements end.
  const numbers = new Map<string, number>()
  const { text: readable, placed } = replaceVariables(text, references, ({ name, start, end }) => {
    if (!prepared) return '1'
    if (!numbers.has(name)) numbers.set(name, numbers.size + 1)
    return glued(text, start, end, `$${numbers.get(name) ?? 0}`)
  })
  return split(readable, chunk, [...numbers.keys()]).map((piece) => toBindable(piece, placed, chunk))
}

/** A name or number directly beside a `$1` would swallow it. */
function glued(text: string, start: number, end: number, parameter: string): string {
  const before = /[\w$\u0080-\uffff]$/.test(text.slice(0, start)) ? ' ' : ''
  return `${before}${parameter}${/^[\w$]/.test(text.slice(end)) ? ' ' : ''}`
}

/** Statements besides SELECT, INSERT, UPDATE, DELETE and MERGE that the server takes parameters in. */
const TAKE_PARAMETERS = new Set(['CallStmt', 'CreateTableAsStmt', 'DeclareCursorStmt', 'ExplainStmt'])

const noValueHere = (name: string): string =>
  `:${name} stands where a prepared statement takes no value (prepared: no puts it into the text)`

function split(readable: string, { file, firstLine }: Chunk, names: string[]): SourceStatement[] {
  try {
    return splitPieces(readable, file, firstLine)
  } catch (error) {
    if (!(error instanceof RehearsalError) || error.code !== 'SQL_UNREADABLE') throw error
    const at = /"\$(\d+)"$/.exec(String(error.details['message']))
    if (at === null) throw error
    const message = noValueHere(names[Number(at[1]) - 1] ?? '')
    throw new RehearsalError('SCRIPT_INVALID', { ...error.details, message }, error)
  }
}

function toBindable(piece: SourceStatement, placed: readonly Placed[], { file, prepared }: Chunk): BindableStatement {
  const { sql, line, start, kind, node } = piece
  const template = toTemplate(sql, start, placed)
  const withParameters = parameterised(template)
  const { isPreparable } = factsOfNode(kind, node)
  const [variable] = withParameters.names
  if (prepared && variable !== undefined && !isPreparable && !TAKE_PARAMETERS.has(kind))
    throw new RehearsalError('SCRIPT_INVALID', { file, line, message: noValueHere(variable) })
  return {
    line,
    normalised: normaliseSql(withParameters.text),
    preparable: isPreparable && (prepared || parses(withParameters.text)) ? withParameters.text : null,
    bind(values) {
      const valueOf = (name: string): Value => values.get(name) ?? null
      if (!prepared) return { text: inlined(template, valueOf), params: [] }
      return { text: withParameters.text, params: withParameters.names.map((name) => toParameter(valueOf(name))) }
    },
  }
}

function toTemplate(sql: string, start: number, placed: readonly Placed[]): Template {
  const template: Template = { texts: [], names: [] }
  let from = 0
  for (const { name, start: left, end } of placed) {
    if (left < start || left >= start + sql.length) continue
    template.texts.push(sql.slice(from, left - start))
    template.names.push(name)
    from = end - start
  }
  template.texts.push(sql.slice(from))
  return template
}

/** The same variable twice is one parameter. */
function parameterised({ texts, names }: Template): { text: string; names: string[] } {
  const distinct = [...new Set(names)]
  const text = texts.reduce((out, part, i) => {
    const name = names[i - 1] ?? ''
    const parameter = `$${distinct.indexOf(name) + 1}`
    return out + glued(out + part, out.length, out.length, parameter) + part
  })
  return { text, names: distinct }
}

const inlined = ({ texts, names }: Template, valueOf: (name: string) => Value): string =>
  texts.reduce((out, part, i) => {
    const literal = toLiteral(valueOf(names[i - 1] ?? ''))
    // Two minus signs would begin a comment.
    return out + (literal.startsWith('-') && out.endsWith('-') ? ' ' : '') + literal + part
  })

function toParameter(value: Value): string | null {
  if (value === null) return null
  // Fifteen digits, as pgbench writes doubles.
  return typeof value === 'number' ? String(Number(value.toPrecision(15))) : String(value)
}

function toLiteral(value: Value): string {
  const text = toParameter(value)
  if (text === null) return 'NULL'
  return typeof value === 'number' && !Number.isFinite(value) ? `'${text}'` : text
}

function parses(text: string): boolean {
  try {
    parseSql(text)
    return true
  } catch (error) {
    if (error instanceof SqlSyntaxError) return false
    throw error
  }
}
