/** Bounds that a column gets from the values that other columns of its row have: `ends_at > starts_at`. */
import type { Order } from './demands.js'
import { familyOf } from './expression.js'
import { dateText, timestampText } from './make-time.js'
import { readScalar } from './scalars.js'
import type { ColumnShape, Row } from './types.js'
import type { Want } from './want.js'

const FLIPPED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '=': '=', '<>': '<>' } as const

export function boundBy(orders: readonly Order[], column: ColumnShape, row: Row): Partial<Want> {
  const want: Partial<Want> = {}
  for (const { left, relation, right, offset } of orders) {
    if (left !== column.name && right !== column.name) continue
    const isLeft = left === column.name
    const text = row[isLeft ? right : left]
    if (text === undefined || text === null) continue
    const family = familyOf(column.type)
    const other = readScalar(text, family)
    if (typeof other !== 'number') {
      if (relation === '=' && offset === 0) want.oneOf = [text]
      continue
    }
    const bound = isLeft ? other - offset : other + offset
    const towards = isLeft ? relation : FLIPPED[relation]
    if (towards === '<' || towards === '<=') {
      if (bound <= (want.max ?? Infinity)) Object.assign(want, { max: bound, maxOpen: towards === '<' })
    } else if (towards === '>' || towards === '>=') {
      if (bound >= (want.min ?? -Infinity)) Object.assign(want, { min: bound, minOpen: towards === '>' })
    } else if (towards === '=')
      want.oneOf = [family === 'number' ? String(bound) : family === 'date' ? dateText(bound) : timestampText(bound)]
  }
  return want
}
