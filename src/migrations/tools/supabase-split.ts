/**
 * How the Supabase CLI cuts a file into statements (read in its source). It knows quotes, comments, dollar quotes,
 * parentheses and BEGIN ATOMIC, and has faults of its own that are kept here: a backslash protects the next character
 * everywhere, an inner `)` also closes the outer parenthesis, BEGIN ATOMIC ends with the first END, be it that of a CASE.
 * What it cuts wrongly fails on the server, and so it must fail in a rehearsal.
 */

/** Where the scanner stands: the statement's beginning and the end of what it has read. */
interface Place {
  text: string
  start: number
  end: number
}

/** The state after a character; null when the statement ends with it. */
type State = (character: string, place: Place) => State | null

const endsWith = ({ text, start, end }: Place, what: string): boolean => {
  const from = end - what.length
  return from >= start && text.slice(from, end) === what
}
const isOfIdentifier = (character: string | undefined): boolean =>
  character !== undefined && /[\p{L}\p{N}_$]/u.test(character)

const ready: State = (character, place) => {
  switch (character) {
    case ';':
      return null
    case "'":
    case '"':
      return quoted(character, false)
    case '-':
      return afterDash
    case '/':
      return comment(0)
    case '\\':
      return () => ready
    case '$':
      return dollarTag(place.end - 1)
    case '(':
      return nested(ready, (now) => endsWith(now, ')'))
    default:
      return /c/i.test(character) && beginsAtomic(place) ? nested(ready, (now) => /END$/i.test(tail(now, 3))) : ready
  }
}

const tail = ({ text, start, end }: Place, length: number): string => text.slice(Math.max(start, end - length), end)

function beginsAtomic({ text, start, end }: Place): boolean {
  const found = /(.?)BEGIN\s+ATOMIC$/isu.exec(text.slice(Math.max(start, end - 1_000), end))
  return found !== null && !isOfIdentifier(found[1] === '' ? undefined : found[1])
}

/** The second dash makes it a comment up to the end of the line. */
const afterDash: State = (character, place) => (character === '-' ? verbatim('\n') : ready(character, place))

/** Block comments nest; depth 0 stands for a slash that may begin one. */
const comment =
  (depth: number): State =>
  (character, place) => {
    if (endsWith(place, '/*')) return comment(depth + 1)
    if (depth === 0) return ready(character, place)
    if (!endsWith(place, '*/')) return comment(depth)
    return depth === 1 ? ready : comment(depth - 1)
  }

/** `closing`: a quote was read that ends the text unless another one follows. */
const quoted =
  (quote: string, closing: boolean): State =>
  (character, place) => {
    if (closing) return character === quote ? quoted(quote, false) : ready(character, place)
    return quoted(quote, character === quote)
  }

const dollarTag =
  (from: number): State =>
  (character, place) => {
    if (character === '$') return verbatim(place.text.slice(from, place.end))
    return /[\p{L}\p{Nd}_]/u.test(character) ? dollarTag(from) : ready(character, place)
  }

const verbatim = (closing: string): State => {
  const inside: State = (_, place) => (endsWith(place, closing) ? ready : inside)
  return inside
}

/** A semicolon counts for nothing in here; what closes it counts only outside quotes and comments. */
const nested =
  (inner: State, closes: (place: Place) => boolean): State =>
  (character, place) => {
    const next = inner(character, place) ?? inner
    return next === ready && closes(place) ? ready : nested(next, closes)
  }

/** The statements as the CLI sends them: without semicolons at the end and white space around them. */
export function splitAsSupabase(text: string): string[] {
  const statements: string[] = []
  let start = 0
  let state: State = ready
  const add = (end: number): void => {
    const statement = trim(text.slice(start, end).replace(/;+$/, ''))
    if (statement !== '') statements.push(statement)
    start = end
  }
  for (let end = 0; end < text.length;) {
    const character = String.fromCodePoint(text.codePointAt(end) ?? 0)
    end += character.length
    const next = state(character, { text, start, end })
    if (next === null) add(end)
    state = next ?? ready
  }
  if (start < text.length) add(text.length)
  return statements
}

/** A byte order mark is no white space for the CLI: it is sent along. */
const trim = (text: string): string => text.replace(/^[^\S\uFEFF]+/, '').replace(/[^\S\uFEFF]+$/, '')
