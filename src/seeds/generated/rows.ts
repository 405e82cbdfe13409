/** The rows of one table, as lines of COPY text. */
import { Random } from '../../values/random.js'
import { keyTuple, makeRow } from '../../values/row-maker.js'
import type { Plan } from '../../values/plan.js'
import { CannotMake, type Row } from '../../values/types.js'
import { escapeField } from '../copy-text.js'
import type { LoadedKeys } from './loaded-keys.js'

/** After so many rows that could not be made one after the other there are no more. */
const MOST_FAILURES = 5

/** Makes rows that are unique by count, one after the other; each is a function of the seed number and those before it. */
export class RowSource {
  /** Rows that the server has taken: what is not understood is taken from them. */
  readonly accepted: Row[] = []
  /** Why the last row could not be made. */
  reason: string | null = null
  /** No further row can be made. */
  exhausted = false
  readonly #plan: Plan
  readonly #keys: LoadedKeys
  readonly #random: Random
  readonly #taken = new Map<string, Set<string>>()
  #ordinal = 0
  #columns: readonly string[] | null = null

  constructor(plan: Plan, keys: LoadedKeys, seedNumber: number) {
    this.#plan = plan
    this.#keys = keys
    this.#random = new Random(seedNumber).fork('generated').fork(plan.table.name)
    // The others are unique by their own column.
    for (const { key, bearer } of plan.keys) if (bearer === null) this.#taken.set(key.name, new Set())
  }

  /** Columns that the rows have; what is left out gets its default. Null until a row was made. */
  get columns(): readonly string[] | null {
    return this.#columns
  }

  /** The next row; null when there are no more. */
  next(): Row | null {
    for (let failures = 0; failures < MOST_FAILURES && !this.exhausted; failures++) {
      try {
        return this.#make()
      } catch (error) {
        if (!(error instanceof CannotMake)) throw error
        this.reason = error.reason
      }
    }
    this.exhausted = true
    return null
  }

  #make(): Row {
    const ordinal = this.#ordinal++
    const row = makeRow(this.#plan, this.#keys, {
      random: this.#random,
      sequences: true,
      ordinal,
      taken: (key, values) => this.#taken.get(key)?.has(values) ?? false,
      template: () => (this.accepted.length > 0 ? this.#random.pick(this.accepted) : null),
    })
    this.#columns ??= Object.keys(row)
    if (this.#columns.some((name) => !(name in row))) throw new CannotMake('a column has a known value only at times')
    for (const { key, columns } of this.#plan.keys)
      this.#taken.get(key.name)?.add(
        keyTuple(
          columns.map((name) => row[name]),
          key.expressions.length > 0,
        ),
      )
    this.#keys.made(this.#plan.table, row)
    return row
  }

  /** A row as a line of COPY text. */
  line(row: Row): string {
    let line = ''
    for (const name of this.#columns ?? []) {
      const value = row[name]
      line += (line === '' ? '' : '\t') + (value === null || value === undefined ? '\\N' : escapeField(value))
    }
    return `${line}\n`
  }
}
