/** Keys of what is filled already: what the next tables refer to. */
import type { Sql } from '../../pg/connect.js'
import { quoteName } from '../../sql/identifiers.js'
import { KeyList, skewed, type References } from '../../values/references.js'
import type { ForeignKeyShape, Row, TableShape } from '../../values/types.js'

/** Keys of one table that are kept; of a larger table an even sample. */
const MOST_KEYS = 200_000
/** A prime: its multiples modulo a count that it does not divide come to every number once. */
const STRIDE = 7919

export class LoadedKeys implements References {
  readonly #lists = new Map<string, KeyList>()
  /** Of the table that is being filled: keys of rows that were made, for references to itself. */
  readonly #growing = new Map<string, { columns: readonly string[]; list: KeyList }[]>()

  /** Reads what is in the table now, for every foreign key that refers to it. */
  async read(sql: Sql, table: TableShape, foreignKeys: readonly ForeignKeyShape[], seedNumber: number): Promise<void> {
    const [counted] = await sql.unsafe<{ n: number }[]>(`select count(*)::float8 as n from ${table.sql}`)
    const share = (100 * MOST_KEYS) / Math.max(1, counted?.n ?? 0)
    const sample = share < 100 ? ` tablesample bernoulli (${share}) repeatable (${seedNumber % 1_000_000})` : ''
    for (const { targetColumns } of foreignKeys) {
      const list = new KeyList()
      const columns = targetColumns.map((name, i) => `${quoteName(name)}::text as k${i}`).join(', ')
      const rows = sql.unsafe<Record<string, string | null>[]>(`select ${columns} from ${table.sql}${sample}`)
      for await (const some of rows.cursor(10_000))
        for (const row of some) list.add(targetColumns.map((_, i) => row[`k${i}`]))
      this.#lists.set(idOf(table.name, targetColumns), list)
    }
  }

  /** Keys that a table will have: counted from 1. */
  predict(target: string, columns: readonly string[], rows: number): void {
    const list = new KeyList()
    for (let i = 1; i <= Math.min(rows, MOST_KEYS); i++) list.add([String(i)])
    this.#lists.set(idOf(target, columns), list)
  }

  /** From now on rows of the table may refer to those before them. */
  begin(table: TableShape): void {
    const own = table.foreignKeys.filter(({ target }) => target === table.name)
    this.#growing.set(
      table.name,
      own.map(({ targetColumns }) => {
        const list = new KeyList()
        this.#lists.set(idOf(table.name, targetColumns), list)
        return { columns: targetColumns, list }
      }),
    )
  }

  made(table: TableShape, row: Row): void {
    for (const { columns, list } of this.#growing.get(table.name) ?? [])
      if (list.size < MOST_KEYS) list.add(columns.map((name) => row[name]))
  }

  #listOf({ target, targetColumns }: ForeignKeyShape): KeyList | undefined {
    return this.#lists.get(idOf(target, targetColumns))
  }

  any(foreignKey: ForeignKeyShape): boolean {
    return (this.#listOf(foreignKey)?.size ?? 0) > 0
  }

  pick: References['pick'] = (_table, foreignKey, random, fixed, once) => {
    const list = this.#listOf(foreignKey)
    if (!list) return null
    const keys = list.matching(fixed)
    const { length } = keys
    if (!once || once.ordinal === null || length < list.size) return keys[skewed(random, length)] ?? null
    // Each once, in an order that is not the target's.
    const stride = length % STRIDE === 0 ? 1 : STRIDE
    return once.ordinal < length ? (keys[(once.ordinal * stride) % length] ?? null) : null
  }
}

const idOf = (table: string, columns: readonly string[]): string => `${table}\u0000${columns.join('\u0000')}`
