/** Where in a program's text a statement comes from (pure). */
import { lex } from '../../sql/lexer.js'
import { lineAt } from '../../sql/text.js'

export interface FoundLine {
  line: number
  /** Whether the statement's own text stands there. */
  exact: boolean
}

/** Beyond it, a search for the text would cost more than the line is worth. */
const LONGEST_TEXT = 20_000

/**
 * @param names of relations and columns that the statement is about
 * @param from line of the statement before: programs mostly go on downwards
 */
export function lineOfStatement(source: string, sql: string, names: readonly string[], from: number): FoundLine {
  const at = indexOfTokens(source, sql)
  if (at !== -1) return { line: lineAt(source, at), exact: true }
  const lines = source.split('\n')
  const wanted = [...new Set(names)]
  const holds = (line: string | undefined, name: string): boolean => line !== undefined && word(name).test(line)
  const [first] = wanted
  if (first === undefined) return { line: from, exact: false }
  const rest = wanted.slice(1)
  const near = (index: number): boolean =>
    rest.some((name) => lines.slice(index, index + 6).some((line) => holds(line, name)))
  const order = [...lines.keys()].sort((a, b) => Number(a + 1 < from) - Number(b + 1 < from) || a - b)
  const best =
    order.find((index) => holds(lines[index], first) && (rest.length === 0 || near(index))) ??
    order.find((index) => holds(lines[index], first))
  return { line: best === undefined ? from : best + 1, exact: false }
}

const word = (name: string): RegExp => new RegExp(`(?<![\\w$])${escaped(name)}(?![\\w$])`)

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

/** The statement's tokens with any white space between them. */
function indexOfTokens(source: string, sql: string): number {
  if (sql.length > LONGEST_TEXT) return -1
  const tokens: string[] = []
  for (const { kind, start, end } of lex(sql))
    if (kind !== 'space' && kind !== 'comment') tokens.push(escaped(sql.slice(start, end)))
  if (tokens.length < 2) return -1
  return source.search(new RegExp(tokens.join('\\s*')))
}
