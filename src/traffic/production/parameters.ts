/** Draws the parameters of one run of a statement: from rows that are there, or new ones where something is written. */
import type { Random } from '../random.js'
import { arrayLiteral, parseArray } from '../../values/literals.js'
import { CannotMake, type ColumnShape, type Row, type TypeShape, type ValueMaker } from '../../values/types.js'
import { asText, below, keyOf, parsed, partOf } from './json-values.js'
import { conform, plainValue } from './plain-values.js'
import type { PoolIndex } from './pool-index.js'
import type { ColumnSource, Occurrence } from './relations.js'
import { isKey, RowPlan, Rows } from './rows.js'
import type { Inference, Use } from './uses.js'

export interface ParameterOptions {
  found: Inference
  /** As PREPARE inferred them. */
  types: readonly (TypeShape | null)[]
  maker: ValueMaker
  index: PoolIndex
  skew: number
  /** Items of a list that is one parameter. */
  listLength: number
  /** Rows that production's calls returned or changed on average. */
  rowsPerCall: number
  /** Share of the table that an open range covers, by the table's name. */
  share: (table: string) => number
}

/** Rows for `<>` are other ones than those that the statement is about. */
const OTHERS = 1000
const FAR = 2000

export function parameterDrawer(options: ParameterOptions): (random: Random) => (string | null)[] {
  const plan = new RowPlan(options)
  return (random) => {
    const run = new Run(options, new Rows(plan, random), random)
    return options.types.map((_, i) => run.parameter(i + 1))
  }
}

class Run {
  readonly #options: ParameterOptions
  readonly #rows: Rows
  readonly #random: Random
  readonly #drawn = new Map<number, string | null>()
  /** Rows as they become, column by column: checks may be about several columns. */
  readonly #updated = new Map<Occurrence, Row>()

  constructor(options: ParameterOptions, rows: Rows, random: Random) {
    this.#options = options
    this.#rows = rows
    this.#random = random
  }

  parameter(number: number): string | null {
    const known = this.#drawn.get(number)
    if (known !== undefined) return known
    const type = this.#options.types[number - 1] ?? null
    const use = this.#options.found.use(number)
    const value = conform(use === null ? this.#plain(type) : this.#used(use, type), type)
    this.#drawn.set(number, value)
    return value
  }

  #plain(type: TypeShape | null): string | null {
    return plainValue(type, this.#options.maker, this.#random)
  }

  #used(use: Use, type: TypeShape | null): string | null {
    const { listLength, rowsPerCall } = this.#options
    switch (use.kind) {
      case 'limit':
        // What came back tells most of a limit: one row at most is a look-up.
        if (!use.outermost || rowsPerCall === 0) return String(this.#random.int(10, 50))
        return String(Math.min(1000, Math.max(1, Math.ceil(rowsPerCall))))
      case 'offset':
        return String(this.#random.pick([0, 0, 0, 10, 20]))
      case 'constant':
        return use.value
      case 'small':
        return type?.category === 'N' ? String(this.#random.int(1, 3)) : this.#plain(type)
      case 'json key':
        return this.#jsonKey(use.source, use.index)
      case 'assign': {
        if (!use.array) return this.#assigned(use, use.index)
        return arrayLiteral(this.#list(listLength, (i) => this.#assigned(use, use.index + i)))
      }
      case 'match': {
        if (!use.array) return this.#matched(use, use.index) ?? this.#plain(type)
        const items = this.#list(listLength, (i) => this.#matched(use, use.index + i))
        const there = items.flatMap((item) => item ?? [])
        // A keyset of several arrays must keep its places; nothing is known of a NULL in it.
        return arrayLiteral(there.length === items.length ? items : there)
      }
    }
  }

  #list<T>(length: number, make: (i: number) => T): T[] {
    return Array.from({ length }, (_, i) => make(i))
  }

  #matched(use: Use & { kind: 'match' }, index: number): string | null {
    const { source, comparison } = use
    if (comparison === 'above' || comparison === 'below') {
      const bound = this.#bound(source, comparison, index)
      if (bound !== null) return wrapped(bound, source)
    }
    if (comparison === 'same kind') index += FAR
    const row = this.#rows.existing(source.at, comparison === 'other' ? index + OTHERS : index)
    const stored = row?.[source.column.name] ?? null
    if (comparison === 'key') return keyOf(parsed(stored), this.#random) ?? (use.array ? 'key' : null)
    const value = stored === null ? this.#fresh(source) : stored
    if (value === null) return null
    if (source.path.length > 0) return asText(below(parsed(value), this.#path(source)))
    if (comparison === 'contains') return this.#part(value, source.column)
    if (source.wraps.includes('element')) return this.#element(value)
    const text = wrapped(value, source)
    if (comparison === 'like') return `${escapeLike(prefix(text))}%`
    return comparison === 'regex' ? `^${prefix(text).replace(/[^\p{L}\p{N} ]/gu, '.')}` : text
  }

  /** Something for a table without rows: it fits, but finds nothing. */
  #fresh({ at, column }: ColumnSource): string | null {
    try {
      return this.#options.maker.value(at.table, column, this.#random)
    } catch (error) {
      if (error instanceof CannotMake) return null
      throw error
    }
  }

  #path(source: ColumnSource): string[] {
    return source.path.map((step) => ('key' in step ? step.key : (this.parameter(step.parameter) ?? '')))
  }

  #jsonKey(source: ColumnSource, index: number): string | null {
    const value = parsed(this.#rows.existing(source.at, index)?.[source.column.name])
    return keyOf(below(value, this.#path(source)), this.#random) ?? 'key'
  }

  #element(value: string): string | null {
    const items = (parseArray(value) ?? []).flatMap((item) => item ?? [])
    return items.length === 0 ? null : this.#random.pick(items)
  }

  #part(value: string, column: ColumnShape): string {
    if (column.type.base === 'json' || column.type.base === 'jsonb') return partOf(parsed(value), this.#random)
    if (column.type.category !== 'A') return value
    const item = this.#element(value)
    return item === null ? '{}' : arrayLiteral([item])
  }

  /**
   * A bound of a range. With both bounds the range begins at the statement's row; an open one covers as much of the
   * table as production's calls had rows.
   */
  #bound(source: ColumnSource, comparison: 'above' | 'below', index: number): string | null {
    const { found, index: pools, share } = this.#options
    const values = pools.sorted(source.at.table, source.column)
    if (values.length === 0) return null
    const span = Math.max(1, Math.round(values.length * share(source.at.table.name)))
    const opposite = comparison === 'above' ? 'below' : 'above'
    const closed = found.parameters().some((parameter) => {
      const use = found.use(parameter)
      return use?.kind === 'match' && use.comparison === opposite && isSame(use.source, source) && use.index === index
    })
    if (closed) {
      const own = this.#rows.existing(source.at, index)?.[source.column.name]
      const at = own === null || own === undefined ? 0 : Math.max(0, values.indexOf(own))
      return values[comparison === 'above' ? at : Math.min(values.length - 1, at + span)] ?? null
    }
    // Where other parameters pin the row down, the range must not exclude it.
    const pinned = found.parameters().some((parameter) => {
      const use = found.use(parameter)
      return use?.kind === 'match' && use.source.at === source.at && use.comparison === 'equal' && use.index === index
    })
    const place = pinned ? Math.max(span, Math.ceil(values.length / 2)) : this.#random.int(0, span)
    return (
      values[comparison === 'below' ? Math.min(place, values.length - 1) : Math.max(0, values.length - 1 - place)] ??
      null
    )
  }

  #assigned(use: Use & { kind: 'assign' }, index: number): string | null {
    const { at, column } = use
    if (use.by === 'insert') {
      const row = this.#rows.made(at, index)
      const made = row[column.name]
      return made === undefined ? this.#value(use, row) : made
    }
    const row = this.#updated.get(at) ?? this.#rows.existing(at, index) ?? {}
    const own = row[column.name]
    if (own !== undefined && staysAsItIs(at, column)) return own
    const value = this.#value(use, row)
    this.#updated.set(at, { ...row, [column.name]: value })
    return value
  }

  #value({ at, column }: { at: Occurrence; column: ColumnShape }, row: Row): string | null {
    try {
      return this.#options.maker.value(at.table, column, this.#random, { unique: isKey(at.table, column.name), row })
    } catch (error) {
      if (error instanceof CannotMake) return row[column.name] ?? null
      throw error
    }
  }
}

/** ORMs write all columns back: nobody changes a primary key, and a reference of several columns changes as a whole. */
const staysAsItIs = ({ table }: Occurrence, { name }: ColumnShape): boolean =>
  table.keys.some(({ kind, columns }) => (kind === 'primary' || columns.length > 1) && columns.includes(name)) ||
  table.foreignKeys.some(({ columns }) => columns.length > 1 && columns.includes(name))

const isSame = (a: ColumnSource, b: ColumnSource): boolean => a.at === b.at && a.column === b.column

function wrapped(value: string, { wraps }: ColumnSource): string {
  let text = value
  for (const wrap of wraps) {
    if (wrap === 'lower') text = text.toLowerCase()
    else if (wrap === 'upper') text = text.toUpperCase()
    else if (wrap === 'day') text = text.slice(0, 10)
  }
  return text
}

/** Most of a text, so that not everything begins with it. */
const prefix = (text: string): string => {
  const characters = Array.from(text)
  return characters.slice(0, Math.max(3, Math.ceil(characters.length * 0.75))).join('')
}

const escapeLike = (text: string): string => text.replace(/[\\%_]/g, '\\$&')
