/**
 * The `datasource` block of a Prisma schema, by the rules of its grammar: `//` and block comments, strings with
 * backslashes, blocks in braces. The value of a literal address is never kept.
 */
import { lineAt } from '../../sql/text.js'

/** Where a property gets its value from. */
export type SchemaValue =
  /** `env("NAME")` */
  | { kind: 'env'; name: string; line: number }
  /** A string; its text only where it is no address. */
  | { kind: 'literal'; line: number }
  | { kind: 'other'; line: number }

export interface Datasource {
  line: number
  /** `postgresql`, `mysql`...; null when it is not one plain string. */
  provider: string | null
  url: SchemaValue | null
  directUrl: SchemaValue | null
}

interface Token {
  kind: 'word' | 'string' | 'sign'
  text: string
  start: number
}

/** The first datasource of a schema, or null. Never throws: what it cannot read is Prisma's to refuse. */
export function readDatasource(schema: string): Datasource | null {
  const tokens = [...tokenize(schema)]
  let depth = 0
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i]
    if (token?.kind === 'sign' && token.text === '{') depth++
    else if (token?.kind === 'sign' && token.text === '}') depth = Math.max(0, depth - 1)
    else if (depth === 0 && isWord(token, 'datasource') && tokens[i + 1]?.kind === 'word' && isSign(tokens[i + 2], '{'))
      return readBlock(schema, tokens, i + 3, lineAt(schema, token?.start ?? 0))
  }
  return null
}

function readBlock(schema: string, tokens: readonly Token[], from: number, line: number): Datasource {
  const found: Datasource = { line, provider: null, url: null, directUrl: null }
  let depth = 0
  for (let i = from; i < tokens.length; i++) {
    const token = tokens[i]
    if (token === undefined || (depth === 0 && isSign(token, '}'))) break
    if (token.kind === 'sign' && '{[('.includes(token.text)) depth++
    else if (token.kind === 'sign' && '}])'.includes(token.text)) depth--
    if (depth > 0 || token.kind !== 'word' || !isSign(tokens[i + 1], '=')) continue
    const first = tokens[i + 2]
    if (token.text === 'provider') found.provider = first?.kind === 'string' ? first.text : null
    else if (token.text === 'url' || token.text === 'directUrl')
      found[token.text] = valueOf(tokens, i + 2, lineAt(schema, token.start))
  }
  return found
}

function valueOf(tokens: readonly Token[], at: number, line: number): SchemaValue {
  const first = tokens[at]
  if (first?.kind === 'string') return { kind: 'literal', line }
  const name = tokens[at + 2]
  if (isWord(first, 'env') && isSign(tokens[at + 1], '(') && name?.kind === 'string')
    return { kind: 'env', name: name.text, line }
  return { kind: 'other', line }
}

const isWord = (token: Token | undefined, text: string): boolean => token?.kind === 'word' && token.text === text
const isSign = (token: Token | undefined, text: string): boolean => token?.kind === 'sign' && token.text === text

const SPACE = /\s+/y
const WORD = /[\p{L}_][\p{L}\p{N}_-]*/uy

function* tokenize(text: string): Generator<Token, void> {
  let at = 0
  const skip = (pattern: RegExp): string | null => {
    pattern.lastIndex = at
    const found = pattern.exec(text)?.[0] ?? null
    return found
  }
  while (at < text.length) {
    const start = at
    const space = skip(SPACE)
    if (space !== null) at += space.length
    else if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at)
      at = end === -1 ? text.length : end
    } else if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2)
      at = end === -1 ? text.length : end + 2
    } else if (text[at] === '"') {
      const end = endOfString(text, at + 1)
      yield { kind: 'string', text: unescape(text.slice(at + 1, end)), start }
      at = end + 1
    } else {
      const word = skip(WORD)
      at += word?.length ?? 1
      yield word === null ? { kind: 'sign', text: text.slice(start, at), start } : { kind: 'word', text: word, start }
    }
  }
}

/** Index of the closing quote; a string ends with its line at the latest. */
function endOfString(text: string, from: number): number {
  for (let at = from; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if (text[at] === '"' || text[at] === '\n') return at
  }
  return text.length
}

const unescape = (text: string): string => text.replace(/\\(.)/g, '$1')
