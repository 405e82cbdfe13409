/** Texts that match a regular expression: classes, counts, groups and alternatives, as checks have them. */
import type { Random } from './random.js'
import { CannotMake } from './types.js'

type Part =
  | { kind: 'characters'; of: readonly string[] }
  | { kind: 'group'; alternatives: Part[][] }
  | { kind: 'many'; part: Part; least: number; most: number }

const LOWER = Array.from('abcdefghijklmnopqrstuvwxyz')
const UPPER = LOWER.map((c) => c.toUpperCase())
const DIGITS = Array.from('0123456789')
const WORD = [...LOWER, ...UPPER, ...DIGITS, '_']
const ANY = [...LOWER, ...DIGITS]
const PRINTABLE = Array.from({ length: 94 }, (_, i) => String.fromCharCode(33 + i))
const POSIX: Readonly<Record<string, readonly string[]>> = {
  alpha: [...LOWER, ...UPPER],
  lower: LOWER,
  upper: UPPER,
  digit: DIGITS,
  xdigit: [...DIGITS, ...Array.from('abcdef')],
  alnum: [...LOWER, ...UPPER, ...DIGITS],
  word: WORD,
  space: [' '],
  punct: Array.from('!#%&,-.:;_'),
}
/** Repetitions that have no end are this many at most. */
const MANY = 8
/** Repetitions that a wanted length may take. */
const LONGEST = 1000

/** LIKE's pattern as a regular expression; the escape is a backslash. */
export function fromLike(pattern: string): string {
  let source = ''
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i] ?? ''
    if (c === '%') source += '.*'
    else if (c === '_') source += '.'
    else source += (c === '\\' ? (pattern[++i] ?? '') : c).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  }
  return `^${source}$`
}

/** PostgreSQL's regular expression in JavaScript's words; null where the two differ in what is used here. */
export function toJavaScript(source: string): string | null {
  if (/\\[mMyYAZ]|\*\*\*|\[\[[.=]|\(\?[a-z]/.test(source)) return null
  const inside: Readonly<Record<string, string>> = {
    alpha: 'a-zA-Z',
    lower: 'a-z',
    upper: 'A-Z',
    digit: '0-9',
    xdigit: '0-9a-fA-F',
    alnum: 'a-zA-Z0-9',
    word: 'a-zA-Z0-9_',
    space: '\\s',
    punct: '!-\\/:-@\\[-`{-~',
  }
  const text = source.replace(/\[:([a-z]+):\]/g, (whole, name: string) => inside[name] ?? whole)
  try {
    new RegExp(text)
    return text
  } catch {
    return null
  }
}

/** A text that JavaScript's regular expression matches, of `least` to `most` characters as far as counts permit. */
export function fromPattern(source: string, random: Random, least = 0, most = Infinity): string {
  const parts = parse(source)
  const fits = (text: string): boolean => text.length >= least && text.length <= most
  for (let attempt = 0; attempt < 10; attempt++) {
    const text = write(parts, (from, to) => random.int(from, Math.min(to, Math.max(from, MANY))), random)
    if (fits(text)) return text
  }
  // Too long or too short: everything that has no fixed count as often as it takes.
  for (let count = 0; count <= Math.min(Math.max(least, MANY), LONGEST); count++) {
    const text = write(parts, (from, to) => Math.min(to, Math.max(from, count)), random)
    if (fits(text)) return text
  }
  throw new CannotMake('no text is known that a pattern accepts')
}

/** `count` chooses how often something is repeated. */
function write(alternatives: Part[][], count: (least: number, most: number) => number, random: Random): string {
  let text = ''
  const one = (part: Part): void => {
    if (part.kind === 'characters') text += random.pick(part.of)
    else if (part.kind === 'group') text += write(part.alternatives, count, random)
    else for (let i = count(part.least, part.most); i > 0; i--) one(part.part)
  }
  random.pick(alternatives).forEach(one)
  return text
}

function parse(source: string): Part[][] {
  let at = 0
  const refuse = (): never => {
    throw new CannotMake('no text is known that a pattern accepts')
  }

  const alternatives = (): Part[][] => {
    const all: Part[][] = [[]]
    while (at < source.length && source[at] !== ')') {
      const c = source[at++] ?? ''
      if (c === '|') all.push([])
      else if (c !== '^' && c !== '$') all[all.length - 1]?.push(counted(atom(c)))
    }
    return all
  }

  const atom = (c: string): Part => {
    if (c === '(') {
      if (source[at] === '?') {
        if (source[at + 1] !== ':') refuse()
        at += 2
      }
      const group: Part = { kind: 'group', alternatives: alternatives() }
      at++
      return group
    }
    if (c === '[') return { kind: 'characters', of: bracket() }
    if (c === '.') return { kind: 'characters', of: ANY }
    if (c === '\\') return { kind: 'characters', of: escaped(source[at++] ?? '') }
    return { kind: 'characters', of: [c] }
  }

  const escaped = (c: string): readonly string[] => {
    if (c === 'd') return DIGITS
    if (c === 'w') return WORD
    if (c === 's') return [' ']
    if (c === 'D' || c === 'S' || c === 'W') return c === 'W' ? ['-'] : LOWER
    if (/[a-zA-Z0-9]/.test(c)) refuse()
    return [c]
  }

  const bracket = (): readonly string[] => {
    const negated = source[at] === '^'
    if (negated) at++
    const found: string[] = []
    for (let first = true; at < source.length && (first || source[at] !== ']'); first = false) {
      const posix = /^\[:([a-z]+):\]/.exec(source.slice(at))
      if (posix) {
        found.push(...(POSIX[posix[1] ?? ''] ?? refuse()))
        at += posix[0].length
        continue
      }
      let c = source[at++] ?? ''
      if (c === '\\') {
        const set = escaped(source[at++] ?? '')
        if (set.length > 1) {
          found.push(...set)
          continue
        }
        c = set[0] ?? ''
      }
      if (source[at] === '-' && source[at + 1] !== ']' && at + 1 < source.length) {
        const end = source[at + 1] === '\\' ? (source[at + 2] ?? '') : (source[at + 1] ?? '')
        at += source[at + 1] === '\\' ? 3 : 2
        for (let code = c.charCodeAt(0); code <= end.charCodeAt(0); code++) found.push(String.fromCharCode(code))
      } else found.push(c)
    }
    at++
    const of = negated ? PRINTABLE.filter((c) => !found.includes(c)) : found
    return of.length > 0 ? of : refuse()
  }

  const counted = (part: Part): Part => {
    const c = source[at]
    let many: Part | null = null
    if (c === '*') many = { kind: 'many', part, least: 0, most: Infinity }
    else if (c === '+') many = { kind: 'many', part, least: 1, most: Infinity }
    else if (c === '?') many = { kind: 'many', part, least: 0, most: 1 }
    const braces = many ? null : /^\{(\d+)(,(\d*))?\}/.exec(source.slice(at))
    if (many) at++
    else if (braces) {
      at += braces[0].length
      const least = Number(braces[1])
      const most = braces[2] === undefined ? least : braces[3] === '' ? Infinity : Number(braces[3])
      many = { kind: 'many', part, least, most }
    } else return part
    if (source[at] === '?') at++
    return many
  }

  const all = alternatives()
  return at < source.length ? refuse() : all
}
