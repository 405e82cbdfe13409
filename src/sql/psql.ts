/**
 * The part of psql's language that schema and seed files need: `:name`, `\set`, `\if` with `\elif`, `\else`, `\endif`
 * (PostgreSQL documentation, psql, "Meta-Commands"), and `\restrict` with `\unrestrict`, which pg_dump writes and which
 * change nothing here. The result is plain SQL with every line where it was.
 */
import { RehearsalError } from '../errors.js'
import { lex } from './lexer.js'
import { lineAt } from './text.js'
import { findVariables, replaceVariables, type VariableReference } from './variables.js'

interface Branch {
  /** Whether the text around the \if counts, and whether the present branch does. */
  outer: boolean
  active: boolean
  /** Whether a branch of this \if was taken already. */
  taken: boolean
  elseSeen: boolean
  line: number
}

/**
 * Turns a psql script into SQL. `variables` holds what is set from outside, e.g. `n`. An unset variable is an error, or
 * stays as it is where `unset` says so, as in psql. Throws SQL_UNREADABLE with the line for that, for another command,
 * and for an `\if` that does not close or whose condition is no boolean.
 */
export function expandPsql(
  source: string,
  file: string,
  variables: Readonly<Record<string, string>>,
  unset: 'error' | 'keep' = 'error',
): string {
  const text = source.startsWith('\uFEFF') ? ` ${source.slice(1)}` : source
  const values = new Map(Object.entries(variables))
  const branches: Branch[] = []
  const fail = (index: number, message: string): never => {
    throw new RehearsalError('SQL_UNREADABLE', { file, line: lineAt(text, index), message })
  }
  const isActive = (): boolean => branches.at(-1)?.active ?? true
  const value = (reference: VariableReference, index: number): string => {
    if (reference.form === 'test') return values.has(reference.name) ? 'TRUE' : 'FALSE'
    const found = values.get(reference.name)
    if (found === undefined && unset === 'keep') return text.slice(index, index + reference.end - reference.start)
    if (found === undefined)
      return fail(index, `:${reference.name} is never set (in an array slice, write spaces around the colon)`)
    if (reference.form === 'literal') return `'${found.replaceAll("'", "''")}'`
    return reference.form === 'identifier' ? `"${found.replaceAll('"', '""')}"` : found
  }
  const substitute = (part: string, from: number): string =>
    replaceVariables(part, findVariables(part), (reference) => value(reference, from + reference.start)).text

  const command = (name: string, argument: string, index: number): void => {
    const branch = branches.at(-1)
    if (name === 'if') {
      const outer = isActive()
      const active = outer && truth(substitute(argument, index), index)
      branches.push({ outer, active, taken: active, elseSeen: false, line: lineAt(text, index) })
    } else if (name === 'elif' || name === 'else') {
      if (branch === undefined || branch.elseSeen) return fail(index, `\\${name} without \\if`)
      const candidate = branch.outer && !branch.taken
      branch.active = candidate && (name === 'else' || truth(substitute(argument, index), index))
      branch.taken ||= branch.active
      branch.elseSeen = name === 'else'
    } else if (name === 'endif') {
      if (branches.pop() === undefined) fail(index, '\\endif without \\if')
    } else if (!isActive()) {
      return
    } else if (name === 'set') {
      const [variable = '', ...words] = setArguments(substitute(argument, index))
      if (!/^[A-Za-z_0-9\u0080-\uffff]+$/.test(variable)) fail(index, '\\set takes a name and a value')
      values.set(variable, words.join(''))
    } else if (name !== 'restrict' && name !== 'unrestrict') {
      fail(
        index,
        `\\${name} is a command of psql that is not understood here (\\set, \\if, \\elif, \\else and \\endif are)`,
      )
    }
  }

  const truth = (words: string, index: number): boolean => {
    const word = words
      .trim()
      .replace(/^'(.*)'$/, '$1')
      .toLowerCase()
    if (word !== '') {
      // psql takes unique beginnings of true, false, yes, no, on, off.
      if ('true'.startsWith(word) || 'yes'.startsWith(word) || word === 'on' || word === '1') return true
      if ('false'.startsWith(word) || 'no'.startsWith(word) || word === 'of' || word === 'off' || word === '0')
        return false
    }
    return fail(index, `\\if needs true or false, not "${words.trim()}"`)
  }

  let out = ''
  let at = 0
  while (at < text.length) {
    const { from, end } = nextCommand(text, at)
    const sql = text.slice(at, from)
    out += isActive() ? substitute(sql, at) : lineBreaks(sql)
    const [, name = '', argument = ''] = /^\\(\S*)\s*([^]*)$/.exec(text.slice(from, end)) ?? []
    if (from < end) command(name, argument.trimEnd(), from)
    at = end
  }
  const open = branches.at(-1)
  if (open !== undefined)
    throw new RehearsalError('SQL_UNREADABLE', { file, line: open.line, message: '\\if without \\endif' })
  return out
}

/** The next backslash outside quotes and comments, and the end of its line (the line break stays in the text). */
function nextCommand(text: string, at: number): { from: number; end: number } {
  for (const token of lex(text, at)) {
    if (token.kind !== 'backslash') continue
    const end = text.slice(token.start).search(/\r?\n|$/)
    return { from: token.start, end: token.start + end }
  }
  return { from: text.length, end: text.length }
}

const lineBreaks = (text: string): string => text.replace(/[^\n]/g, '')

/** Words of \set: separated by white space, 'quoted' ones with '' and backslash escapes. */
function setArguments(text: string): string[] {
  return [...text.matchAll(/'((?:[^'\\]|''|\\[^])*)'|[^\s']+/g)].map(([word, quoted]) =>
    quoted === undefined ? word : quoted.replaceAll("''", "'").replace(/\\([^])/g, '$1'),
  )
}
