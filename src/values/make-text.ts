/** Texts: by the column's name, of the wanted length, letters and pattern. */
import { distinguishing, type Draw } from './draw.js'
import { CannotMake, type TypeShape } from './types.js'
import { fromPattern } from './patterns.js'

const TYPES = new Set(['text', 'varchar', 'bpchar', 'citext', 'name', 'char'])
export const isText = (base: string): boolean => TYPES.has(base)

const NAME_LENGTH = 63
const WORDS = (
  'amber basin cedar delta ember fable grove harbor island jasper kernel lumen meadow nectar opal pioneer quartz ripple ' +
  'summit timber upland valley willow zephyr'
).split(' ')
/** A text that is only told to be long is filled up with words. */
const MOST_FILLED = 100_000

/** Most characters that the type takes; Infinity where it has no limit. */
export function textLimit(type: TypeShape): number {
  if (type.base === 'char') return 1
  if (type.base === 'name') return NAME_LENGTH
  // varchar(n) and char(n) keep n + 4.
  return (type.base === 'varchar' || type.base === 'bpchar') && type.modifier >= 5 ? type.modifier - 4 : Infinity
}

export function makeText(type: TypeShape, draw: Draw): string {
  const { want, random } = draw
  const most = Math.min(textLimit(type), want.maxLength)
  // A char(n) is compared without its trailing blanks.
  if (want.minLength > most) throw new CannotMake('no text is of the length')
  const pattern = want.patterns[0]
  if (pattern !== undefined) return letters(fromPattern(pattern, random, want.minLength, most), want.letters)
  let text = draw.words ? draw.words(random) : `${random.pick(WORDS)} ${random.pick(WORDS)}`
  if (draw.unique) text = withSuffix(text, draw, most)
  if (text.length > most) text = text.slice(0, most).trimEnd() || 'x'.repeat(Math.min(most, 1))
  if (text.length < want.minLength) text = filled(text, draw, most)
  return letters(text, want.letters)
}

/** An address keeps its domain: the suffix goes before the `@`. */
function withSuffix(text: string, draw: Draw, most: number): string {
  const suffix = distinguishing(draw, most)
  const at = text.indexOf('@')
  if (at > 0 && suffix.length + text.length - at + 1 < most) {
    const head = text.slice(0, Math.min(at, most - suffix.length - (text.length - at) - 1))
    return `${head}.${suffix}${text.slice(at)}`
  }
  const room = most - suffix.length - 1
  return room > 0 ? `${text.slice(0, room).trimEnd()}-${suffix}` : suffix
}

function filled(text: string, draw: Draw, most: number): string {
  const { minLength } = draw.want
  if (minLength > MOST_FILLED) throw new CannotMake('no text is of the length')
  let long = text
  while (long.length < minLength) long += (long.length + 1 < minLength ? ' ' : 'x') + draw.random.pick(WORDS)
  const cut = long.slice(0, Math.min(most, Math.max(minLength, text.length)))
  return cut.endsWith(' ') ? `${cut.slice(0, -1)}x` : cut
}

const letters = (text: string, wanted: 'lower' | 'upper' | null): string =>
  wanted === 'lower' ? text.toLowerCase() : wanted === 'upper' ? text.toUpperCase() : text
