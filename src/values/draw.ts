/** What a value is drawn from, shared by the makers of all types. */
import { CannotMake } from './types.js'
import type { Random } from './random.js'
import type { Want } from './want.js'

/** One value to be made. */
export interface Draw {
  random: Random
  want: Readonly<Want>
  /** The value must not be there yet. */
  unique: boolean
  /** Counts the rows of one filling from 0; null where values are unique by chance. */
  ordinal: number | null
  /** Unique times are this far from each other, in ms. */
  apartMs: number
  /** Text that suits the column's name; null without a name. */
  words: ((random: Random) => string) | null
  /** Usual whole numbers for the column's name. */
  usual: readonly [number, number] | null
}

/** Largest number that is drawn where the type sets no end. */
export const PLENTY = 2 ** 48

/** The n-th of `count` things when values are counted, else a random one. */
export function nth(draw: Draw, count: number): number {
  const most = Math.min(count, PLENTY)
  if (!draw.unique || draw.ordinal === null) return draw.random.int(0, most - 1)
  if (draw.ordinal >= most) throw new CannotMake('every value of a key is taken')
  return draw.ordinal
}

/** A suffix that makes a text unique: the count itself, or ten random letters and digits. */
export function distinguishing(draw: Draw, mostCharacters = 10): string {
  if (draw.ordinal !== null) {
    const text = (draw.ordinal + 1).toString(mostCharacters < 7 ? 36 : 10)
    if (text.length > mostCharacters) throw new CannotMake('every value of a key is taken')
    return text
  }
  const length = Math.min(10, mostCharacters)
  return draw.random
    .int(0, 36 ** Math.min(length, 9) - 1)
    .toString(36)
    .padStart(length, '0')
}

/** Hexadecimal digits. */
export function hex(random: Random, digits: number): string {
  let text = ''
  while (text.length < digits) text += random.int(0, 0xffffffff).toString(16).padStart(8, '0')
  return text.slice(0, digits)
}
