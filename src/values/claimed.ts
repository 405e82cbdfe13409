/**
 * A schema with what the pending migrations will take for granted of its rows. Rows that are made up keep to it, because the
 * application's do, or should: whether they do in production is another question, and stands in the report.
 */
import { qualified } from '../pg/catalog.js'
import { claimsOf, type Claim } from '../sql/claims.js'
import { parseSql, walk } from '../sql/parser.js'
import type { ColumnShape, ForeignKeyShape, SchemaShape, TableShape, ValueMaker } from './types.js'

/** The shape with references, checks, keys and NOT NULLs that the statements add to its tables. */
export function withClaims(shape: SchemaShape, texts: readonly string[]): SchemaShape {
  const claims = texts.flatMap(claimsOf)
  if (claims.length === 0) return shape
  const byName = new Map(shape.tables.map((table) => [table.name, table]))
  return {
    tables: shape.tables.map((table) => {
      const own = claims.filter((claim) => qualified(claim.schema, claim.table) === table.name)
      return own.reduce((known, claim, i) => withClaim(known, claim, `pending_${i + 1}`, byName), table)
    }),
  }
}

function withClaim(table: TableShape, claim: Claim, name: string, tables: ReadonlyMap<string, TableShape>): TableShape {
  const { columns } = claim
  if (!columns.every((column) => table.columns.some((one) => one.name === column))) return table
  switch (claim.kind) {
    case 'not null':
      return { ...table, columns: notNull(table, columns) }
    case 'check':
      return claim.expression === null
        ? table
        : {
            ...table,
            checks: [
              ...table.checks,
              { name, expression: claim.expression, columns: namedIn(table, claim.expression) },
            ],
          }
    case 'unique':
      return columns.length === 0
        ? table
        : {
            ...table,
            keys: [
              ...table.keys,
              {
                name,
                kind: 'unique',
                columns,
                where: claim.where,
                nullsNotDistinct: false,
                deferrable: false,
                expressions: [],
                expressionColumns: [],
              },
            ],
          }
    case 'foreign key': {
      const foreignKey = referenceOf(claim, name, tables)
      return foreignKey ? { ...table, foreignKeys: [...table.foreignKeys, foreignKey] } : table
    }
    default:
      return table
  }
}

const notNull = (table: TableShape, names: readonly string[]): ColumnShape[] =>
  table.columns.map((column) => (names.includes(column.name) ? { ...column, notNull: true } : column))

function referenceOf(
  { columns, target }: Claim,
  name: string,
  tables: ReadonlyMap<string, TableShape>,
): ForeignKeyShape | null {
  const to = target ? tables.get(qualified(target.schema, target.table)) : undefined
  if (!target || !to) return null
  const primary = to.keys.find(({ kind }) => kind === 'primary')?.columns.flatMap((column) => column ?? []) ?? []
  const targetColumns = target.columns.length > 0 ? target.columns : primary
  if (targetColumns.length !== columns.length) return null
  return { name, columns, target: to.name, targetColumns, deferrable: false, matchFull: false }
}

/** Columns of the table that an expression names. */
function namedIn(table: TableShape, expression: string): string[] {
  const named = new Set<string>()
  for (const { node } of parseSql(`select ${expression}`))
    walk(node, (kind, fields) => {
      if (kind === 'ColumnRef' && Array.isArray(fields['fields']))
        walk(fields['fields'], (_, inner) => {
          if (typeof inner['sval'] === 'string') named.add(inner['sval'])
        })
    })
  return table.columns.flatMap(({ name }) => (named.has(name) ? [name] : []))
}

/** Makes values for tables of `shape` as if they were those of `claimed`. */
export function keepingTo(claimed: SchemaShape, maker: ValueMaker): ValueMaker {
  const byName = new Map(claimed.tables.map((table) => [table.name, table]))
  const known = (table: TableShape): TableShape => byName.get(table.name) ?? table
  const column = (table: TableShape, { name }: ColumnShape): ColumnShape | undefined =>
    known(table).columns.find((one) => one.name === name)
  return {
    row: (table, random, options) => maker.row(known(table), random, options),
    value: (table, asked, random, options) => maker.value(known(table), column(table, asked) ?? asked, random, options),
    ofType: (type, random) => maker.ofType(type, random),
    existing: (table, random, skew) => maker.existing(table, random, skew),
  }
}
