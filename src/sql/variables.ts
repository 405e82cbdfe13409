/** `:name` in SQL, as psql and pgbench read it: not in strings, quoted names, comments or `::casts`. */
import { lex } from './lexer.js'

export interface VariableReference {
  name: string
  /** `plain` for `:name`, `literal` for `:'name'`, `identifier` for `:"name"`, `test` for `:{?name}` (psql only). */
  form: 'plain' | 'literal' | 'identifier' | 'test'
  /** Indexes into the text, the colon included. */
  start: number
  end: number
}

const NAME = /[A-Za-z_\u0080-\uffff][A-Za-z_0-9\u0080-\uffff]*/y
const TEST = /\{\?([A-Za-z_0-9\u0080-\uffff]+)\}/y
const QUOTED = /(['"])([A-Za-z_0-9\u0080-\uffff]+)\1/y

/** The references in the order of the text. */
export function findVariables(text: string): VariableReference[] {
  const references: VariableReference[] = []
  let after = 0
  for (const token of lex(text)) {
    if (token.start < after || text[token.start] !== ':' || token.end !== token.start + 1) continue
    const start = token.start
    const from = token.end
    NAME.lastIndex = TEST.lastIndex = QUOTED.lastIndex = from
    const name = NAME.exec(text)?.[0]
    const test = TEST.exec(text)
    const quoted = QUOTED.exec(text)
    if (name !== undefined) references.push({ name, form: 'plain', start, end: NAME.lastIndex })
    else if (test !== null) references.push({ name: test[1] ?? '', form: 'test', start, end: TEST.lastIndex })
    else if (quoted !== null)
      references.push({
        name: quoted[2] ?? '',
        form: quoted[1] === "'" ? 'literal' : 'identifier',
        start,
        end: QUOTED.lastIndex,
      })
    else continue
    after = references.at(-1)?.end ?? after
  }
  return references
}

/** Where the replacement of a reference stands in the new text. */
export interface Placed {
  name: string
  start: number
  end: number
}

/** Replaces each reference by its text and says where the texts stand. */
export function replaceVariables(
  text: string,
  references: readonly VariableReference[],
  replacement: (reference: VariableReference) => string,
): { text: string; placed: Placed[] } {
  let out = ''
  let from = 0
  const placed: Placed[] = []
  for (const reference of references) {
    out += text.slice(from, reference.start)
    const start = out.length
    out += replacement(reference)
    placed.push({ name: reference.name, start, end: out.length })
    from = reference.end
  }
  return { text: out + text.slice(from), placed }
}
