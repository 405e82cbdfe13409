/**
 * The tokens of PostgreSQL's SQL, by the rules of the documentation, section "Lexical Structure", with
 * standard_conforming_strings on. It serves texts that are not SQL yet (scripts with `:name` and backslash commands) or
 * do not parse, where the parser can say nothing; whole statements are the parser's business.
 */

export type TokenKind =
  | 'space'
  | 'comment'
  | 'string'
  | 'number'
  | 'parameter'
  | 'word'
  | 'quoted'
  | 'operator'
  | 'backslash'
  | 'unterminated'

export interface Token {
  kind: TokenKind
  /** Indexes into the text. */
  start: number
  end: number
}

const SPACE = /[ \t\n\r\f\v]+/y
const WORD = /[A-Za-z_\u0080-\uffff][A-Za-z_0-9$\u0080-\uffff]*/y
const NUMBER =
  /0[xX](?:_?[0-9a-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|(?:\d(?:_?\d)*(?:\.(?!\.)(?:\d(?:_?\d)*)?)?|\.\d(?:_?\d)*)(?:[eE][+-]?\d(?:_?\d)*)?/y
const PARAMETER = /\$\d+/y
const DOLLAR = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z_0-9\u0080-\uffff]*)?\$/y
const STRING_PREFIX = /(?:[eEbBxXnN]|[uU]&)?'/y
const QUOTED_PREFIX = /(?:[uU]&)?"/y
const LINE_COMMENT = /--[^\n\r]*/y

/**
 * The tokens from an index on. Every character belongs to exactly one token; an `unterminated` token reaches to the end.
 */
export function* lex(text: string, from = 0): Generator<Token, void> {
  let at = from
  while (at < text.length) {
    const token = next(text, at)
    yield token
    at = token.end
  }
}

function next(text: string, start: number): Token {
  const found = (pattern: RegExp): number | null => {
    pattern.lastIndex = start
    return pattern.test(text) ? pattern.lastIndex : null
  }
  const token = (kind: TokenKind, end: number | null): Token =>
    end === null ? { kind: 'unterminated', start, end: text.length } : { kind, start, end }
  let end: number | null
  if ((end = found(SPACE)) !== null) return token('space', end)
  if ((end = found(LINE_COMMENT)) !== null) return token('comment', end)
  if (text.startsWith('/*', start)) return token('comment', endOfComment(text, start))
  if ((end = found(STRING_PREFIX)) !== null) {
    const escapes = text[start] === 'e' || text[start] === 'E'
    return token('string', endOfQuotes(text, end, "'", escapes))
  }
  if ((end = found(QUOTED_PREFIX)) !== null) return token('quoted', endOfQuotes(text, end, '"', false))
  if ((end = found(WORD)) !== null) return token('word', end)
  if ((end = found(PARAMETER)) !== null) return token('parameter', end)
  if ((end = found(DOLLAR)) !== null) {
    const close = text.indexOf(text.slice(start, end), end)
    return token('string', close === -1 ? null : close + (end - start))
  }
  if ((end = found(NUMBER)) !== null) return token('number', end)
  if (text[start] === '\\') return token('backslash', start + 1)
  if (text.startsWith('::', start) || text.startsWith(':=', start)) return token('operator', start + 2)
  return token('operator', start + ((text.codePointAt(start) ?? 0) < 0x10000 ? 1 : 2))
}

/** Block comments nest. */
function endOfComment(text: string, start: number): number | null {
  let depth = 0
  for (let at = start; at < text.length; at++) {
    if (text.startsWith('/*', at)) {
      depth++
      at++
    } else if (text.startsWith('*/', at)) {
      depth--
      at++
      if (depth === 0) return at + 1
    }
  }
  return null
}

/** A doubled quote stands for one; with `escapes`, a backslash takes the next character along. */
function endOfQuotes(text: string, from: number, quote: string, escapes: boolean): number | null {
  for (let at = from; at < text.length; at++) {
    if (escapes && text[at] === '\\') at++
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return at + 1
      at++
    }
  }
  return null
}
