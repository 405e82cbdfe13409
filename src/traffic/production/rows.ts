/**
 * The rows that one run of a statement is about. Tables that are joined get rows that belong together, so that
 * `from orders o join users u on u.id = o.user_id where u.email = $1 and o.status = $2` finds something.
 */
import type { Random } from '../random.js'
import { CannotMake, type Row, type TableShape, type ValueMaker } from '../../values/types.js'
import type { PoolIndex } from './pool-index.js'
import type { Occurrence } from './relations.js'
import type { Inference, Link } from './uses.js'

const MOST_TRIES = 12

export interface RowsOptions {
  found: Inference
  index: PoolIndex
  maker: ValueMaker
  /** Of the choice among existing rows, 0 for evenly. */
  skew: number
}

/** Columns that must have a value in the row: parameters are equal to them. */
type Needed = ReadonlyMap<Occurrence, readonly { column: string; index: number }[]>

export class RowPlan {
  readonly options: RowsOptions
  readonly needed: Needed
  readonly #roots = new Map<Occurrence, Occurrence>()
  readonly #links = new Map<Occurrence, { link: Link; other: Occurrence }[]>()

  constructor(options: RowsOptions) {
    this.options = options
    const { found } = options
    for (const link of found.links)
      for (const [here, there] of [
        [link.left.at, link.right.at],
        [link.right.at, link.left.at],
      ] as const)
        this.#links.set(here, [...(this.#links.get(here) ?? []), { link, other: there }])
    for (const at of found.occurrences) if (!this.#roots.has(at)) this.#findRoot(at)
    const needed = new Map<Occurrence, { column: string; index: number }[]>()
    for (const parameter of found.parameters()) {
      const use = found.use(parameter)
      if (use?.kind !== 'match' || use.comparison === 'other' || use.comparison === 'same kind') continue
      const of = needed.get(use.source.at) ?? []
      of.push({ column: use.source.column.name, index: use.index })
      needed.set(use.source.at, of)
    }
    this.needed = needed
  }

  root(at: Occurrence): Occurrence {
    return this.#roots.get(at) ?? at
  }

  linksOf(at: Occurrence): readonly { link: Link; other: Occurrence }[] {
    return this.#links.get(at) ?? []
  }

  /** Rows are chosen first where they refer to others: what they refer to can be looked up, the reverse may be empty. */
  #findRoot(start: Occurrence): void {
    const all = [start]
    for (const at of all) for (const { other } of this.linksOf(at)) if (!all.includes(other)) all.push(other)
    const score = (at: Occurrence): number =>
      this.linksOf(at).filter(({ link, other }) => {
        const side = link.left.at === other ? link.left : link.right
        return isKey(other.table, side.column.name)
      }).length
    const root = all.reduce((best, at) => (score(at) > score(best) ? at : best))
    for (const at of all) this.#roots.set(at, root)
  }
}

export const isKey = (table: TableShape, column: string): boolean =>
  table.keys.some(
    ({ kind, columns, where }) => kind !== 'exclude' && columns.length === 1 && columns[0] === column && where === null,
  )

/** Rows of one run. Row 0 is the statement's row, others are those of a list. */
export class Rows {
  readonly #plan: RowPlan
  readonly #random: Random
  readonly #rows = new Map<string, Row | null>()
  readonly #taken = new Map<Occurrence, Set<Row>>()
  readonly #made = new Map<string, Row>()

  constructor(plan: RowPlan, random: Random) {
    this.#plan = plan
    this.#random = random
  }

  /** An existing row; null when the table has none. */
  existing(at: Occurrence, index: number): Row | null {
    const key = `${at.id}/${index}`
    const known = this.#rows.get(key)
    if (known !== undefined) return known
    const root = this.#plan.root(at)
    let drawn = new Map<Occurrence, Row | null>()
    for (let attempt = 0; attempt < MOST_TRIES; attempt++) {
      const tried = this.#draw(root)
      drawn = tried.rows
      if (tried.complete && this.#fits(drawn, index)) break
    }
    for (const [occurrence, row] of drawn) {
      this.#rows.set(`${occurrence.id}/${index}`, row)
      if (row !== null) this.#taken.set(occurrence, (this.#taken.get(occurrence) ?? new Set()).add(row))
    }
    return drawn.get(at) ?? null
  }

  /** A row to insert. Where ON CONFLICT asks for it, every other one has the key of a row that is there. */
  made(at: Occurrence, index: number): Row {
    const key = `${at.id}/${index}`
    const known = this.#made.get(key)
    if (known !== undefined) return known
    const { found, maker } = this.#plan.options
    const given = found.inserted.get(at)
    const sequences = at.table.columns.some((column) => column.sequence && given?.has(column.name) === true)
    let row: Row
    try {
      row = maker.row(at.table, this.#random, { sequences })
    } catch (error) {
      if (!(error instanceof CannotMake)) throw error
      // Each column may still be made by itself.
      row = {}
    }
    const conflict = found.conflicts.find((one) => one.at === at)
    const there = conflict !== undefined && this.#random.int(0, 1) === 0 ? this.existing(at, index) : null
    for (const column of there === null ? [] : (conflict?.columns ?? []))
      row = { ...row, [column]: there?.[column] ?? null }
    this.#made.set(key, row)
    return row
  }

  #draw(root: Occurrence): { rows: Map<Occurrence, Row | null>; complete: boolean } {
    const { index, maker, skew } = this.#plan.options
    const rows = new Map([[root, maker.existing(root.table, this.#random, skew)]])
    let complete = true
    const queue = [root]
    for (const at of queue)
      for (const { link, other } of this.#plan.linksOf(at)) {
        if (rows.has(other)) continue
        const [here, there] = link.left.at === at ? [link.left, link.right] : [link.right, link.left]
        const value = rows.get(at)?.[here.column.name] ?? null
        const partners = value === null ? [] : index.matching(other.table, there.column, value)
        complete &&= partners.length > 0
        rows.set(
          other,
          partners.length > 0 ? this.#random.pick(partners) : maker.existing(other.table, this.#random, skew),
        )
        queue.push(other)
      }
    return { rows, complete }
  }

  #fits(rows: ReadonlyMap<Occurrence, Row | null>, index: number): boolean {
    const { found } = this.#plan.options
    for (const [at, row] of rows) {
      if (row === null) continue
      const needed = this.#plan.needed.get(at) ?? []
      if (needed.some((one) => one.index === index && (row[one.column] ?? null) === null)) return false
      const nulls = found.nulls.filter(({ source }) => source.at === at)
      if (nulls.some(({ source, isNull }) => ((row[source.column.name] ?? null) === null) !== isNull)) return false
      if (this.#taken.get(at)?.has(row) === true) return false
    }
    return true
  }
}
