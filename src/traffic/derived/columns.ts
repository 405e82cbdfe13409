/** What may be done with a column, by its type and by the keys and references that it is part of. */
import { lex } from '../../sql/lexer.js'
import type { ColumnShape, KeyShape, SchemaShape, TableShape, TypeShape } from '../../values/types.js'

/** Base types without an operator `=` of their own (or one that compares areas). */
const NOT_COMPARABLE = new Set(
  'json xml jsonpath point lseg line box path polygon circle txid_snapshot pg_snapshot refcursor unknown'.split(' '),
)

/** Whether `=` finds rows with the value. */
export function isComparable(type: TypeShape): boolean {
  if (type.element) return isComparable(type.element)
  if (type.attributes) return type.attributes.every((attribute) => isComparable(attribute.type))
  return !NOT_COMPARABLE.has(type.base)
}

/** Types that applications ask ranges of: times and amounts. */
export const isOrdered = (type: TypeShape): boolean =>
  type.element === null && (type.category === 'D' || ['numeric', 'float4', 'float8'].includes(type.base))

export const columnOf = (table: TableShape, name: string): ColumnShape | null =>
  table.columns.find((column) => column.name === name) ?? null

/** Filled by the server alone, unless it is asked to let somebody else. */
export const isServerMade = (column: ColumnShape): boolean =>
  column.sequence || column.identity !== null || column.generated !== null

/** Key columns without expressions; null where there is an expression. */
export function plainColumns(columns: readonly (string | null)[]): string[] | null {
  const plain = columns.filter((column) => column !== null)
  return plain.length === columns.length ? plain : null
}

export const primaryKey = (table: TableShape): KeyShape | null =>
  table.keys.find(({ kind }) => kind === 'primary') ?? null

/** Foreign keys of other tables (or of its own) that refer to the table. */
export const referrers = (shape: SchemaShape, table: TableShape): TableShape[] =>
  shape.tables.filter(({ foreignKeys }) => foreignKeys.some(({ target }) => target === table.name))

/** Columns that foreign keys refer to. */
export function referredColumns(shape: SchemaShape, table: TableShape): Set<string> {
  const keys = shape.tables.flatMap(({ foreignKeys }) => foreignKeys.filter(({ target }) => target === table.name))
  return new Set(keys.flatMap(({ targetColumns }) => targetColumns))
}

const isReference = (table: TableShape, column: string): boolean =>
  table.foreignKeys.some(({ columns }) => columns.includes(column))

/** Whether random values of the type are practically never the same twice. */
function isWide(type: TypeShape): boolean {
  if (type.labels || type.attributes || type.element || type.kind !== 'b') return false
  if (['varchar', 'bpchar'].includes(type.base)) return type.modifier === -1 || type.modifier - 4 >= 8
  if (type.domainChecks.length > 0) return false
  return ['text', 'citext', 'uuid', 'int4', 'int8', 'numeric', 'timestamp', 'timestamptz', 'bytea', 'name'].includes(
    type.base,
  )
}

/** Whether a new value of this column alone makes a row's key new. */
export function makesNew(table: TableShape, name: string): boolean {
  const column = columnOf(table, name)
  if (column === null || isReference(table, name)) return false
  // A CHECK that compares with values may leave a few of them only.
  const listed = table.checks.some(({ columns, expression }) => columns.includes(name) && expression.includes(' = '))
  if (listed && !isServerMade(column)) return false
  return isServerMade(column) ? column.generated === null : isWide(column.type)
}

/** Whether a new row's key is new, with overwhelming probability: a pair of references may be there already. */
export const isFresh = (table: TableShape, key: KeyShape): boolean =>
  key.kind !== 'exclude' && keyColumns(key).some((column) => makesNew(table, column))

/** With those that its expressions name. */
const keyColumns = ({ columns, expressionColumns }: KeyShape): string[] => [
  ...columns.filter((column) => column !== null),
  ...expressionColumns,
]

/** Names that a partition key mentions. */
export function partitionColumns(table: TableShape): Set<string> {
  const key = table.partitionKey ?? ''
  const words = [...lex(key)].map(({ start, end }) => key.slice(start, end).replace(/^"(.*)"$/s, '$1'))
  return new Set(words)
}

/**
 * Columns that an update may give any fitting value: not what the server fills, not what rows are found by or referred
 * to, not a part of a reference over several columns, not a part of a key that would not be new with it.
 */
export function updatableColumns(shape: SchemaShape, table: TableShape): ColumnShape[] {
  const fixed = new Set([
    ...(primaryKey(table)?.columns ?? []),
    ...referredColumns(shape, table),
    ...partitionColumns(table),
    // What a row refers to is drawn from the other table, which knows nothing of this one's checks.
    ...table.foreignKeys.flatMap(({ columns }) =>
      columns.length > 1 || columns.some((name) => isChecked(table, name)) ? columns : [],
    ),
    ...table.keys.flatMap((key) => (key.kind === 'exclude' ? key.columns : [])),
  ])
  return table.columns.filter((column) => {
    if (isServerMade(column) || fixed.has(column.name)) return false
    return !isInKey(table, column.name) || makesNew(table, column.name)
  })
}

const isChecked = (table: TableShape, name: string): boolean =>
  table.checks.some(({ columns }) => columns.includes(name))

export const isInKey = (table: TableShape, column: string): boolean =>
  table.keys.some((key) => keyColumns(key).includes(column))
