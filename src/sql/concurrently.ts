/** CREATE INDEX and DROP INDEX with CONCURRENTLY put in after the keyword, by the lexer: strings and comments stay. Pure. */
import { lex } from './lexer.js'

/** null when the text has no INDEX keyword. */
export function withConcurrently(sql: string): string | null {
  for (const token of lex(sql)) {
    if (token.kind !== 'word' || sql.slice(token.start, token.end).toLowerCase() !== 'index') continue
    return `${sql.slice(0, token.end)} concurrently${sql.slice(token.end)}`
  }
  return null
}
