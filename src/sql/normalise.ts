/** Query text without data: what may be shown of a statement that somebody else wrote. */
import { lex } from './lexer.js'
import { parseSql, walk } from './parser.js'

const UNREADABLE = '(unreadable SQL)'

/**
 * The text with every literal replaced by `$n` (counting on after the highest parameter in it), without comments, and
 * with white space collapsed. Numbers that are part of the grammar stay: lengths of types, as in varchar(20), and
 * positions in ORDER BY and GROUP BY. A text that does not parse loses every string and number all the same, and one
 * with an unterminated quote or comment is replaced as a whole. (The parser's own normalize() leaves comments and
 * most literals of CREATE, ALTER and COMMENT statements in place.)
 */
export function normaliseSql(text: string): string {
  const kept = grammarNumbers(text)
  let next = highestParameter(text)
  let out = ''
  for (const { kind, start, end } of lex(text)) {
    if (kind === 'unterminated') return UNREADABLE
    if (kind === 'space' || kind === 'comment') {
      if (out !== '' && !out.endsWith(' ')) out += ' '
    } else if (kind === 'string' || (kind === 'number' && !kept.has(start))) {
      // Two literals on two lines are one string: 'a' <newline> 'b'.
      out += `$${++next}`
    } else out += text.slice(start, end)
  }
  return out.trim()
}

function highestParameter(text: string): number {
  let highest = 0
  for (const { kind, start, end } of lex(text))
    if (kind === 'parameter') highest = Math.max(highest, Number(text.slice(start + 1, end)))
  return highest
}

/** Indexes of the numbers that are grammar, not data. Empty when the text does not parse. */
function grammarNumbers(text: string): Set<number> {
  const bytes = new Set<number>()
  const keep = (constant: unknown): void => {
    walk([constant], (name, fields) => {
      const location = fields['location']
      // Constants that the grammar itself puts in, as for `interval day`, have no place in the text.
      if (name === 'A_Const' && typeof location === 'number' && location > 0) bytes.add(location)
    })
  }
  try {
    for (const { node } of text.includes('\0') ? [] : parseSql(text))
      walk(node, (name, fields) => {
        keep(fields['typmods'])
        if (name === 'SortBy') keepIfConstant(fields['node'], keep)
        if (Array.isArray(fields['groupClause'])) for (const item of fields['groupClause']) keepIfConstant(item, keep)
      })
  } catch {
    return new Set()
  }
  const encoded = Buffer.from(text)
  return new Set([...bytes].map((byte) => encoded.subarray(0, byte).toString().length))
}

function keepIfConstant(node: unknown, keep: (constant: unknown) => void): void {
  if (typeof node === 'object' && node !== null && 'A_Const' in node) keep(node)
}
