/** Where references to other tables come from. */
import type { Random } from './random.js'
import type { ForeignKeyShape, Pools, TableShape } from './types.js'

/** Values for a foreign key's columns, in their order. */
export type Reference = readonly (string | null)[]

export interface References {
  /**
   * A row of the target. `fixed` are values of the foreign key's columns that are settled already, undefined where free.
   * `once`: no other row may refer to it. Null when there is none.
   */
  pick(
    table: TableShape,
    foreignKey: ForeignKeyShape,
    random: Random,
    fixed: readonly (string | null | undefined)[],
    once: { ordinal: number | null } | null,
  ): Reference | null
  /** Whether the target has any row. */
  any(foreignKey: ForeignKeyShape): boolean
}

/** An index into `count` things, early ones oftener: the first tenth gets about a fifth of all. */
export const skewed = (random: Random, count: number): number => Math.floor(count * random.next() ** 1.4)

const separator = '\u0000'
export const tuple = (values: readonly (string | null | undefined)[]): string => values.join(separator)

/** Distinct keys, found by any of their parts. */
export class KeyList {
  readonly #keys: Reference[] = []
  readonly #there = new Set<string>()
  /** By which parts are asked for, then by their values. */
  readonly #indexes = new Map<string, Map<string, Reference[]>>()

  get size(): number {
    return this.#keys.length
  }

  at(index: number): Reference | null {
    return this.#keys[index] ?? null
  }

  /** Keys that have a NULL, or that are there already, are passed over. */
  add(values: readonly (string | null | undefined)[]): void {
    if (values.some((value) => value === null || value === undefined)) return
    const id = tuple(values)
    if (this.#there.has(id)) return
    this.#there.add(id)
    const key = values as Reference
    this.#keys.push(key)
    for (const [mask, index] of this.#indexes) put(index, masked(key, mask), key)
  }

  /** Those with the given values; every part that is undefined is free. */
  matching(fixed: readonly (string | null | undefined)[]): readonly Reference[] {
    if (fixed.every((value) => value === undefined)) return this.#keys
    const mask = fixed.map((value) => (value === undefined ? '_' : 'x')).join('')
    let index = this.#indexes.get(mask)
    if (!index) {
      index = new Map()
      for (const key of this.#keys) put(index, masked(key, mask), key)
      this.#indexes.set(mask, index)
    }
    return index.get(masked(fixed, mask)) ?? []
  }
}

const masked = (values: readonly (string | null | undefined)[], mask: string): string =>
  tuple(values.map((value, i) => (mask[i] === 'x' ? value : '')))

function put(index: Map<string, Reference[]>, id: string, key: Reference): void {
  const group = index.get(id)
  if (group) group.push(key)
  else index.set(id, [key])
}

/** Target keys out of the pools; for who needs one of its own, those that nobody of the pool refers to. */
export function poolReferences(pools: Pools): References {
  const lists = new Map<ForeignKeyShape, KeyList>()
  const unused = new Map<ForeignKeyShape, KeyList>()

  const all = (foreignKey: ForeignKeyShape): KeyList => {
    let list = lists.get(foreignKey)
    if (!list) {
      list = new KeyList()
      for (const row of pools.rows.get(foreignKey.target) ?? [])
        list.add(foreignKey.targetColumns.map((name) => row[name]))
      lists.set(foreignKey, list)
    }
    return list
  }
  const free = (table: TableShape, foreignKey: ForeignKeyShape): KeyList => {
    let list = unused.get(foreignKey)
    if (!list) {
      list = new KeyList()
      const known = pools.unreferred?.get(`${table.name}/${foreignKey.name}`)
      const rows = pools.rows.get(table.name) ?? []
      const used = new Set(rows.map((row) => tuple(foreignKey.columns.map((name) => row[name]))))
      const keys = known
        ? known.map((row) => foreignKey.targetColumns.map((name) => row[name]))
        : all(foreignKey).matching(foreignKey.columns.map(() => undefined))
      for (const key of keys) if (known || !used.has(tuple(key))) list.add(key)
      unused.set(foreignKey, list)
    }
    return list
  }

  return {
    any: (foreignKey) => all(foreignKey).size > 0,
    pick(table, foreignKey, random, fixed, once) {
      const keys = (once ? free(table, foreignKey) : all(foreignKey)).matching(fixed)
      return keys[once ? random.int(0, Math.max(0, keys.length - 1)) : skewed(random, keys.length)] ?? null
    },
  }
}
