/** What is found out about the parameters of one statement. Pure. */
import type { ColumnShape } from '../../values/types.js'
import type { ColumnSource, Occurrence } from './relations.js'

/** How a column and a parameter are compared. */
export type Comparison = 'equal' | 'other' | 'above' | 'below' | 'like' | 'regex' | 'contains' | 'key' | 'same kind'

export type Use =
  | { kind: 'match'; comparison: Comparison; source: ColumnSource; index: number; array: boolean }
  | {
      kind: 'assign'
      by: 'insert' | 'update'
      at: Occurrence
      column: ColumnShape
      index: number
      array: boolean
    }
  /** A key or position in the JSON value of a column, below `source.path`. */
  | { kind: 'json key'; source: ColumnSource; index: number }
  | { kind: 'limit'; outermost: boolean }
  | { kind: 'offset' }
  | { kind: 'constant'; value: string }
  /** A small number, as in `count + $1`. */
  | { kind: 'small' }

/** Two columns that are equal in the rows that the statement is about. */
export interface Link {
  left: ColumnSource
  right: ColumnSource
}

/** The columns by which ON CONFLICT finds the row that is there. */
export interface Conflict {
  at: Occurrence
  columns: readonly string[]
}

export class Inference {
  readonly occurrences: Occurrence[] = []
  readonly links: Link[] = []
  readonly nulls: { source: ColumnSource; isNull: boolean }[] = []
  readonly conflicts: Conflict[] = []
  readonly #uses = new Map<number, Use[]>()
  /** Places that something is inserted into, by occurrence: their columns that are given. */
  readonly inserted = new Map<Occurrence, Set<string>>()

  add(parameter: number, use: Use): void {
    const uses = this.#uses.get(parameter)
    if (uses) uses.push(use)
    else this.#uses.set(parameter, [use])
  }

  /** The use that says most about the value; null when the parameter belongs to nothing. */
  use(parameter: number): Use | null {
    let best: Use | null = null
    for (const use of this.#uses.get(parameter) ?? []) if (best === null || rank(use) > rank(best)) best = use
    return best
  }

  parameters(): number[] {
    return [...this.#uses.keys()]
  }
}

/** What is inserted must be new even where the same parameter is looked for first (INSERT ... WHERE NOT EXISTS). */
function rank(use: Use): number {
  switch (use.kind) {
    case 'assign':
      return use.by === 'insert' ? 9 : 7
    case 'match':
      return { equal: 8, like: 6, regex: 6, contains: 6, key: 6, above: 5, below: 5, other: 3, 'same kind': 2 }[
        use.comparison
      ]
    case 'json key':
      return 6
    case 'limit':
    case 'offset':
      return 4
    case 'constant':
      return 2
    case 'small':
      return 1
  }
}
