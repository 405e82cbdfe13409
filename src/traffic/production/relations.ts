/** What a name in a statement stands for: columns of tables, columns of sub-selects and VALUES, parameters. Pure. */
import type { ColumnShape, SchemaShape, TableShape } from '../../values/types.js'

/** A table at one place of a statement: `orders a join orders b` has two. */
export interface Occurrence {
  id: number
  table: TableShape
}

/** What is done to a column before it is compared. */
export type Wrap = 'lower' | 'upper' | 'day' | 'element'

/** A step into a JSON value: by a key that is a parameter, or one that is written. */
export type JsonStep = { parameter: number } | { key: string }

export interface ColumnSource {
  kind: 'column'
  at: Occurrence
  column: ColumnShape
  wraps: readonly Wrap[]
  path: readonly JsonStep[]
}

/** A parameter; `index` is its place in a list of rows, `array` says that it holds the whole list. */
export interface ParameterItem {
  number: number
  index: number
  array: boolean
}

export interface ParameterSource {
  kind: 'parameters'
  items: readonly ParameterItem[]
}

/** Where values come from; null when that is not known. */
export type Source = ColumnSource | ParameterSource | null

export interface Output {
  name: string
  source: Source
}

/** Something in FROM. */
export interface Relation {
  alias: string
  /** As it was written; empty for all but tables. */
  schema: string
  columns: readonly Output[]
  /** A table's own occurrence. */
  at: Occurrence | null
}

export const columnSource = (at: Occurrence, column: ColumnShape): ColumnSource => ({
  kind: 'column',
  at,
  column,
  wraps: [],
  path: [],
})

export const columnsOf = (at: Occurrence): Output[] =>
  at.table.columns.map((column) => ({ name: column.name, source: columnSource(at, column) }))

/** Names that a query can see: its own relations, then those of the queries around it. */
export class Scope {
  readonly relations: Relation[] = []
  readonly #ctes = new Map<string, readonly Output[]>()
  readonly #outer: Scope | null
  /** CTEs around it can be seen, columns cannot. */
  readonly #onlyCtes: boolean

  constructor(outer: Scope | null, options: { onlyCtes: boolean } = { onlyCtes: false }) {
    this.#outer = outer
    this.#onlyCtes = options.onlyCtes
  }

  addCte(name: string, outputs: readonly Output[]): void {
    this.#ctes.set(name, outputs)
  }

  cte(name: string): readonly Output[] | null {
    return this.#ctes.get(name) ?? this.#outer?.cte(name) ?? null
  }

  /** `fields` is one, two or three names, as in `column`, `alias.column`, `schema.table.column`. */
  column(fields: readonly string[]): Source {
    const name = fields.at(-1) ?? ''
    const qualifier = fields.at(-2)
    for (const relation of this.relations) {
      if (qualifier !== undefined && relation.alias !== qualifier) continue
      const found = relation.columns.find((column) => column.name === name)
      if (found) return found.source
    }
    return this.#onlyCtes ? null : (this.#outer?.column(fields) ?? null)
  }

  /** What `*` or `alias.*` stands for. */
  all(alias: string | null): Output[] {
    return this.relations.flatMap((relation) =>
      alias === null || relation.alias === alias ? [...relation.columns] : [],
    )
  }
}

/** A view and the parse tree of its query. */
export interface View {
  schema: string
  name: string
  query: unknown
}

/** Finds tables and views as the server would, by the search path. */
export class Tables {
  readonly #byName = new Map<string, TableShape | View>()
  readonly #path: readonly string[]

  constructor(shape: SchemaShape, views: readonly View[], searchPath: readonly string[]) {
    for (const view of views) this.#byName.set(key(view.schema, view.name), view)
    for (const table of shape.tables) this.#byName.set(key(table.schema, table.bare), table)
    this.#path = searchPath
  }

  find(schema: string, name: string): TableShape | View | null {
    for (const candidate of schema === '' ? this.#path : [schema]) {
      const found = this.#byName.get(key(candidate, name))
      if (found) return found
    }
    return null
  }
}

export const isView = (found: TableShape | View): found is View => 'query' in found

const key = (schema: string, name: string): string => JSON.stringify([schema, name])
