/** Existing rows by value and values in order, found once for all operations. Pure. */
import type { ColumnShape, Pools, Row, TableShape } from '../../values/types.js'

export class PoolIndex {
  readonly #pools: Pools
  readonly #byValue = new Map<string, Map<string, Row[]>>()
  readonly #sorted = new Map<string, readonly string[]>()

  constructor(pools: Pools) {
    this.#pools = pools
  }

  rows(table: TableShape): readonly Row[] {
    return this.#pools.rows.get(table.partitionOf ?? table.name) ?? []
  }

  /** Rows that have this value in the column. */
  matching(table: TableShape, column: ColumnShape, value: string): readonly Row[] {
    const key = JSON.stringify([table.name, column.name])
    let rows = this.#byValue.get(key)
    if (rows === undefined) {
      rows = new Map()
      for (const row of this.rows(table)) {
        const found = row[column.name]
        if (found === null || found === undefined) continue
        const same = rows.get(found)
        if (same) same.push(row)
        else rows.set(found, [row])
      }
      this.#byValue.set(key, rows)
    }
    return rows.get(value) ?? []
  }

  /** The column's values in their order, as far as texts can be ordered here. */
  sorted(table: TableShape, column: ColumnShape): readonly string[] {
    const key = JSON.stringify([table.name, column.name])
    const known = this.#sorted.get(key)
    if (known) return known
    const values = this.rows(table).flatMap((row) => row[column.name] ?? [])
    values.sort(column.type.category === 'N' ? (a, b) => Number(a) - Number(b) : (a, b) => (a < b ? -1 : a > b ? 1 : 0))
    this.#sorted.set(key, values)
    return values
  }
}
