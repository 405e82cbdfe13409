/** Numbers and money. */
import { PLENTY, nth, type Draw } from './draw.js'
import { CannotMake, type TypeShape } from './types.js'

const WHOLE: Readonly<Record<string, readonly [number, number]>> = {
  int2: [-32768, 32767],
  int4: [-2147483648, 2147483647],
  // Beyond 2^53 JavaScript's numbers are no longer whole.
  int8: [-Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER],
  oid: [0, 2147483647],
  xid8: [0, Number.MAX_SAFE_INTEGER],
  xid: [0, 2147483647],
  cid: [0, 2147483647],
}

/** What an unnamed number looks like: 1 to 10,000. */
const USUAL: readonly [number, number] = [1, 10_000]
/** Ids that are made by chance are above those that sequences and seeds have given. */
const CHANCE_FROM: Readonly<Record<string, number>> = { int2: 0, int4: 1_000_000_000, int8: 1_000_000_000_000 }

export const isNumber = (base: string): boolean => base in WHOLE || base in FRACTIONS || base === 'numeric'

const FRACTIONS: Readonly<Record<string, number>> = { float4: 6, float8: 12, money: 2 }

/** How numeric(p,s) is packed into a type modifier (src/backend/utils/adt/numeric.c). */
export function precisionAndScale(type: TypeShape): { precision: number; scale: number } | null {
  if (type.base !== 'numeric' || type.modifier < 4) return null
  const packed = type.modifier - 4
  const scale = packed & 0x7ff
  return { precision: (packed >> 16) & 0xffff, scale: scale >= 0x400 ? scale - 0x800 : scale }
}

export function makeNumber(type: TypeShape, draw: Draw): string {
  const bounds = WHOLE[type.base]
  if (bounds) return String(whole(draw, bounds, CHANCE_FROM[type.base] ?? 0, 1))
  const numeric = precisionAndScale(type)
  const scale = numeric ? numeric.scale : 2
  // Counted in units of the last digit, so that bounds are exact.
  const unit = 10 ** scale
  const most = numeric ? Math.min(10 ** Math.min(numeric.precision, 15) - 1, PLENTY) : PLENTY
  const units = whole(draw, [-most, most], Math.min(most, CHANCE_FROM['int4'] ?? 0), unit)
  if (scale <= 0) return String(units / unit)
  const sign = units < 0 ? '-' : ''
  const digits = String(Math.abs(units)).padStart(scale + 1, '0')
  return `${sign}${digits.slice(0, -scale)}.${digits.slice(-scale)}`
}

/** A whole number of `unit`ths within the type's and the wanted bounds. */
function whole(draw: Draw, [least, most]: readonly [number, number], chanceFrom: number, unit: number): number {
  const { want } = draw
  let low = Math.max(least, Math.ceil(want.min * unit - 1e-9))
  let high = Math.min(most, Math.floor(want.max * unit + 1e-9))
  if (want.minOpen && low <= want.min * unit) low++
  if (want.maxOpen && high >= want.max * unit) high--
  if (low > high) throw new CannotMake('no number is in the bounds')
  if (draw.unique) {
    if (draw.ordinal !== null) {
      const from = low > 0 ? low : Math.min(1, high)
      if (from + draw.ordinal <= high) return from + draw.ordinal
      // Those above are used up: on with those below.
      const below = from - (draw.ordinal - (high - from))
      if (below < low) throw new CannotMake('every value of a key is taken')
      return below
    }
    const from = low <= chanceFrom && chanceFrom + 1000 < high ? chanceFrom : Math.max(low, Math.min(0, high))
    return from + draw.random.int(0, Math.min(high - from, PLENTY))
  }
  const [usualLow, usualHigh] = draw.usual ?? USUAL
  const [from, to] = [Math.max(low, usualLow * unit), Math.min(high, usualHigh * unit)]
  if (from <= to) return draw.random.int(from, to)
  // The usual numbers are outside: near the bound that shuts them out.
  const span = (usualHigh - usualLow) * unit
  return low > usualHigh * unit
    ? draw.random.int(low, Math.min(high, low + span))
    : draw.random.int(Math.max(low, high - span), high)
}

export function makeBoolean(draw: Draw): string {
  return nth(draw, 2) === 0 ? 'true' : 'false'
}
