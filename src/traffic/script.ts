/**
 * Traffic scripts (old.sql, new.sql) in the pgbench script language, one operation a section:
 *
 *     -- name: get_user; weight: 10; prepared: yes
 *     \set id random(1, :n)
 *     select id, email from users where id = :id;
 *
 * Everything that can be wrong is found when the file is read, before anything starts. Variables live for one run of
 * their operation.
 */
import { RehearsalError } from '../errors.js'
import type { Release } from '../recording.js'
import { lex } from '../sql/lexer.js'
import { lineAt, refuseNul } from '../sql/text.js'
import { hash32 } from './random.js'
import { ExpressionError, parseExpression, type Value } from './expression.js'
import type { ScriptOperation, Step, Variables } from './operation.js'
import { isHeader, parseHeader, type Header } from './script-header.js'
import { readStatements, type BindableStatement } from './script-statements.js'

/** Set before a script begins. */
const BUILT_IN = ['n', 'client_id', 'random_seed', 'default_seed']

const SLEEP_UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

interface Run {
  values: Map<string, Value>
  steps: Step[]
  random: Parameters<ScriptOperation['bind']>[1]
}
type Command = (run: Run) => void

interface Section {
  header: Header
  commands: Command[]
  known: Set<string>
  statements: BindableStatement[]
}

/**
 * Reads a script. Throws SCRIPT_INVALID with file and line for whatever is wrong with the script, SQL_UNREADABLE with
 * file and line where a statement is.
 */
export function parseScript(source: string, file: string, release: Release): ScriptOperation[] {
  refuseNul(source, file)
  const text = source.startsWith('\uFEFF') ? ` ${source.slice(1)}` : source
  const fail = (index: number, message: string): never => {
    throw new RehearsalError('SCRIPT_INVALID', { file, line: lineAt(text, index), message })
  }
  const sections: Section[] = []

  /** SQL from one meta command or section to the next. */
  const addSql = (from: number, to: number, before: string | null): void => {
    const tokens = [...lex(text.slice(from, to))].filter((t) => t.kind !== 'space' && t.kind !== 'comment')
    const [first] = tokens
    const last = tokens.at(-1)
    if (first === undefined || last === undefined) return
    const section = sections.at(-1)
    if (section === undefined)
      return fail(from + first.start, 'text before the first section: sections begin with a line "-- name: ..."')
    if (before !== null && text.slice(from + last.start, from + last.end) !== ';')
      fail(to, before === 'gset' || before === 'aset' ? notUnderstood(before) : `no semicolon before \\${before}`)
    const chunk = { text: text.slice(from, to), file, firstLine: lineAt(text, from), prepared: section.header.prepared }
    for (const statement of readStatements(chunk, section.known)) {
      section.statements.push(statement)
      section.commands.push((run) =>
        run.steps.push({ kind: 'statement', bound: statement.bind(run.values), line: statement.line }),
      )
    }
  }

  const addCommand = (line: string, index: number): void => {
    const section = sections.at(-1)
    if (section === undefined)
      return fail(index, 'a command before the first section: sections begin with a line "-- name: ..."')
    const [, name = '', argument = ''] = /^\\(\S*)\s*([^]*)$/.exec(line.replace(/\\\r?\n/g, '  ')) ?? []
    if (name === 'set') section.commands.push(readSet(argument, index, section.known))
    else if (name === 'sleep') section.commands.push(readSleep(argument, index, section.known))
    else fail(index, notUnderstood(name))
  }

  const readSet = (argument: string, index: number, known: Set<string>): Command => {
    const [, variable, body] = /^([A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)\s+([^]*)$/.exec(argument) ?? []
    if (variable === undefined || body === undefined) return fail(index, '\\set takes a name and an expression')
    try {
      const expression = parseExpression(body, (name) => known.has(name))
      known.add(variable)
      return ({ values, random }) => {
        try {
          values.set(variable, expression({ random, variable: (name) => values.get(name) ?? null }))
        } catch (error) {
          if (error instanceof ExpressionError) fail(index, `\\set ${variable}: ${error.message}`)
          throw error
        }
      }
    } catch (error) {
      if (error instanceof ExpressionError) fail(index, `\\set ${variable}: ${error.message}`)
      throw error
    }
  }

  const readSleep = (argument: string, index: number, known: Set<string>): Command => {
    const [, time = '', unit = 's'] =
      /^(\d+|:\S+?)\s*(us|ms|s)?\s*$/.exec(argument) ??
      fail(index, '\\sleep takes a whole number or a :variable and us, ms or s')
    const factor = SLEEP_UNITS[unit] ?? 1000
    if (!time.startsWith(':')) return ({ steps }) => steps.push({ kind: 'sleep', ms: Number(time) * factor })
    if (!known.has(time.slice(1))) fail(index, `\\sleep: ${time} is never set`)
    return ({ steps, values }) => {
      const ms = Number(values.get(time.slice(1)) ?? NaN) * factor
      if (!(ms >= 0 && ms < Infinity)) fail(index, `\\sleep: ${time} is not a time`)
      steps.push({ kind: 'sleep', ms })
    }
  }

  const addSection = (comment: string, index: number): void => {
    const header = parseHeader(comment, file, lineAt(text, index))
    const same = sections.find((section) => section.header.name === header.name)
    if (same !== undefined)
      fail(index, `a second operation named ${header.name} (the first is in line ${same.header.line})`)
    sections.push({ header, commands: [], known: new Set(BUILT_IN), statements: [] })
  }

  let from = 0
  let at = 0
  while (at < text.length) {
    const token = nextMark(text, at)
    if (token === null) break
    if (token.kind === 'comment') {
      addSql(from, token.start, null)
      addSection(text.slice(token.start, token.end), token.start)
      from = at = token.end
    } else {
      const line = commandAt(text, token.start)
      addSql(from, token.start, /^\\(\S*)/.exec(line)?.[1] ?? '')
      addCommand(line, token.start)
      from = at = token.start + line.length
    }
  }
  addSql(from, text.length, null)
  if (sections.length === 0)
    throw new RehearsalError('SCRIPT_INVALID', {
      file,
      message: 'no operation: sections begin with a line "-- name: ..."',
    })
  return sections.map((section) => toOperation(section, release, file))
}

const notUnderstood = (name: string): string => `\\${name} is not understood here (\\set and \\sleep are)`

/** The next section header or backslash outside strings. */
function nextMark(text: string, at: number): { kind: 'comment' | 'backslash'; start: number; end: number } | null {
  for (const { kind, start, end } of lex(text, at)) {
    if (kind === 'backslash') return { kind, start, end }
    if (kind !== 'comment' || !isHeader(text.slice(start, end))) continue
    const lineStart = text.lastIndexOf('\n', start) + 1
    if (text.slice(lineStart, start).trim() === '') return { kind, start, end }
  }
  return null
}

/** From a backslash to the end of the line; a backslash at the end of a line continues on the next. */
function commandAt(text: string, start: number): string {
  return /^(?:\\\r?\n|[^\r\n])*/.exec(text.slice(start))?.[0] ?? ''
}

function toOperation({ header, commands, statements }: Section, release: Release, file: string): ScriptOperation {
  const { name, weight, prepared, line, ratePerSecond, thinkMs } = header
  if (statements.length === 0)
    throw new RehearsalError('SCRIPT_INVALID', { file, line, message: `operation ${name} has no statement` })
  return {
    kind: 'script',
    release,
    name,
    weight,
    prepared,
    ...(ratePerSecond !== undefined && { ratePerSecond }),
    ...(thinkMs !== undefined && { thinkMs }),
    file,
    line,
    normalisedSql: statements.map((statement) => statement.normalised),
    statementTexts: [...new Set(statements.flatMap((statement) => statement.preparable ?? []))],
    bind(variables, random) {
      const run: Run = { values: builtIn(variables), steps: [], random }
      for (const command of commands) command(run)
      return run.steps
    },
  }
}

function builtIn({ rows, clientId, seed }: Variables): Map<string, Value> {
  return new Map<string, Value>([
    ['n', BigInt(rows)],
    ['client_id', BigInt(clientId)],
    ['random_seed', BigInt(seed)],
    ['default_seed', BigInt(hash32(`default seed ${seed}`))],
  ])
}
