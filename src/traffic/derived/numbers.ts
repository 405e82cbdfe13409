/** Numbers for keys that sequences fill, where an operation has to know the key of the row that it makes. */
import type { ColumnShape } from '../../values/types.js'
import type { Random } from '../random.js'

/** Far above what a sequence has given out, and within the type; null for other types. */
export function numberRange({ type }: ColumnShape): readonly [number, number] | null {
  if (type.base === 'int2') return [30_000, 32_767]
  if (type.base === 'int4') return [1_600_000_000, 2_100_000_000]
  if (type.base === 'int8') return [4e15, 9e15]
  return null
}

export function newNumber(column: ColumnShape, random: Random): string {
  const [from, to] = numberRange(column) ?? [0, 0]
  return String(random.int(from, to))
}
