/** Reads the schema's shape from the catalog: once, before anything is made for it. */
import type { Sql } from '../pg/connect.js'
import { qualified } from '../pg/catalog.js'
import { quoteName } from '../sql/identifiers.js'
import { parseSql, walk } from '../sql/parser.js'
import * as queries from './catalog-queries.js'
import { typeResolver, type ResolveType } from './type-shapes.js'
import type { ColumnShape, ForeignKeyShape, KeyShape, SchemaShape, TableShape } from './types.js'

export interface ReadShapeOptions {
  /** Whose privileges `may` tells; everything is permitted without one. */
  role?: string
}

/**
 * Every table of the users with what a value for it must keep to. System schemas, temporary tables and what extensions
 * brought are left out. `sql` is any session that may read the catalog; the server is PostgreSQL 16 or later. Statistics
 * are those of columns that the session's role may read.
 */
export async function readShape(sql: Sql, options: ReadShapeOptions = {}): Promise<SchemaShape> {
  const ask = async <T extends object>(text: string, parameters: string[] = []): Promise<T[]> => [
    ...(await sql.unsafe<T[]>(text, parameters)),
  ]
  const tables = [...(await sql.unsafe<queries.TableRow[]>(queries.TABLES, [options.role ?? null]))]
  const resolve = typeResolver(await ask<queries.TypeRow>(queries.TYPES))
  const columns = byRelation(await ask<queries.ColumnRow>(queries.COLUMNS))
  const indexes = byRelation(await ask<queries.IndexRow>(queries.INDEXES))
  const foreignKeys = byRelation(await ask<queries.ForeignKeyRow>(queries.FOREIGN_KEYS))
  const checks = byRelation(await ask<queries.CheckRow>(queries.CHECKS))
  const triggers = byRelation(await ask<queries.TriggerRow>(queries.TRIGGERS))
  const bounds = groupBy(await ask<queries.BoundRow>(queries.BOUNDS), (row) => row.root)
  const nameOf = new Map(tables.map((table) => [table.oid, qualified(table.schema, table.bare)]))

  return {
    tables: tables.map((table): TableShape => {
      const leaves = bounds.get(table.oid) ?? []
      return {
        oid: table.oid,
        schema: table.schema,
        bare: table.bare,
        name: qualified(table.schema, table.bare),
        sql: `${quoteName(table.schema)}.${quoteName(table.bare)}`,
        kind: kindOf(table),
        partitionOf: table.root_oid === null ? null : (nameOf.get(table.root_oid) ?? null),
        partitionKey: table.partition_key,
        partitionBounds: leafBounds(leaves),
        columns: (columns.get(table.oid) ?? []).map((row) => toColumn(row, resolve)),
        keys: (indexes.get(table.oid) ?? []).flatMap((row) => toKey(row)),
        foreignKeys: withPartitions(table, tables)
          .flatMap((oid) => foreignKeys.get(oid) ?? [])
          .flatMap((row) => toForeignKey(row, nameOf))
          .filter(isFirstAlike),
        indexes: (indexes.get(table.oid) ?? [])
          .filter((row) => !row.is_unique && !row.is_exclusion)
          .map((row) => ({
            name: row.name,
            method: row.method,
            columns: JSON.parse(row.columns) as (string | null)[],
            where: row.where,
          })),
        checks: (checks.get(table.oid) ?? []).map((row) => ({
          name: row.name,
          expression: row.expression,
          columns: JSON.parse(row.columns) as string[],
        })),
        triggers: (triggers.get(table.oid) ?? []).map((row) => row.name),
        rowSecurity: table.row_security,
        may: {
          select: table.may_select,
          insert: table.may_insert,
          update: table.may_update,
          delete: table.may_delete,
        },
        ...sizes(table, leaves),
      }
    }),
  }
}

function kindOf(table: queries.TableRow): TableShape['kind'] {
  if (table.is_partition) return 'partition'
  return table.relkind === 'p' ? 'partitioned' : table.relkind === 'f' ? 'foreign' : 'table'
}

/** What must hold in some leaf. A default partition takes what the others do not: rows are made for the others. */
function leafBounds(leaves: readonly queries.BoundRow[]): string[] {
  const told = leaves.filter((leaf) => !leaf.is_default)
  return told.length > 0 ? told.map((leaf) => leaf.bound ?? 'true') : leaves.length > 0 ? ['true'] : []
}

function sizes(table: queries.TableRow, leaves: readonly queries.BoundRow[]): { rows: number; bytes: number } {
  const parts = leaves.length > 0 ? leaves : [table]
  const bytes = parts.reduce((sum, part) => sum + part.bytes, 0)
  const known = parts.filter((part) => part.reltuples >= 0 || part.bytes === 0)
  if (table.relkind !== 'f' && known.length === parts.length)
    return { rows: known.reduce((sum, part) => sum + Math.max(0, part.reltuples), 0), bytes }
  return { rows: -1, bytes }
}

function toColumn(row: queries.ColumnRow, resolve: ResolveType): ColumnShape {
  const generated = row.generated === 's' ? 'stored' : row.generated === 'v' ? 'virtual' : null
  const identity = row.identity === 'a' ? 'always' : row.identity === 'd' ? 'by default' : null
  return {
    name: row.name,
    number: row.number,
    type: resolve(row.type, row.modifier, row.sql),
    notNull: row.not_null,
    defaultSql: generated === null ? row.default_sql : null,
    sequence: identity !== null || (generated === null && (row.owns_sequence || callsNextval(row.default_sql))),
    identity,
    generated,
    statistics:
      row.n_distinct === null || row.null_frac === null || row.avg_width === null
        ? null
        : { distinct: row.n_distinct, nullFraction: row.null_frac, width: row.avg_width },
  }
}

/** The catalog does not know of the sequence where its name is a text that is looked up when the default is used. */
function callsNextval(expression: string | null): boolean {
  if (expression === null || !expression.includes('nextval')) return false
  let found = false
  walk(parseSql(`select ${expression}`)[0]?.node, (kind, fields) => {
    if (kind === 'FuncCall' && JSON.stringify(fields['funcname']).includes('"nextval"')) found = true
  })
  return found
}

/** Names of the columns in expressions over one table, each once. */
function columnsIn(expressions: readonly string[]): string[] {
  const found = new Set<string>()
  for (const expression of expressions)
    walk(parseSql(`select ${expression}`)[0]?.node, (kind, fields) => {
      if (kind !== 'ColumnRef') return
      walk(fields['fields'], (part, { sval }) => {
        if (part === 'String' && typeof sval === 'string') found.add(sval)
      })
    })
  return [...found]
}

function toKey(row: queries.IndexRow): KeyShape[] {
  if (!row.is_unique && !row.is_exclusion) return []
  const expressions = JSON.parse(row.expressions) as string[]
  return [
    {
      name: row.name,
      kind: row.is_primary ? 'primary' : row.is_exclusion ? 'exclude' : 'unique',
      columns: JSON.parse(row.columns) as (string | null)[],
      expressions,
      expressionColumns: columnsIn(expressions),
      where: row.where,
      nullsNotDistinct: row.nulls_not_distinct,
      deferrable: row.deferrable,
    },
  ]
}

/** A reference may be declared on each partition instead of on the table that they are partitions of. */
const withPartitions = (table: queries.TableRow, tables: readonly queries.TableRow[]): number[] => [
  table.oid,
  ...(table.relkind === 'p' ? tables.filter((one) => one.root_oid === table.oid).map(({ oid }) => oid) : []),
]

const isFirstAlike = (key: ForeignKeyShape, index: number, all: readonly ForeignKeyShape[]): boolean =>
  all.findIndex((one) => one.target === key.target && one.columns.join('\0') === key.columns.join('\0')) === index

function toForeignKey(row: queries.ForeignKeyRow, nameOf: ReadonlyMap<number, string>): ForeignKeyShape[] {
  const target = nameOf.get(row.target)
  if (target === undefined) return []
  return [
    {
      name: row.name,
      columns: JSON.parse(row.columns) as string[],
      target,
      targetColumns: JSON.parse(row.target_columns) as string[],
      deferrable: row.deferrable,
      matchFull: row.match_full,
    },
  ]
}

const byRelation = <T extends { relation: number }>(rows: readonly T[]): Map<number, T[]> =>
  groupBy(rows, (row) => row.relation)

function groupBy<T>(rows: readonly T[], keyOf: (row: T) => number): Map<number, T[]> {
  const groups = new Map<number, T[]>()
  for (const row of rows) {
    const group = groups.get(keyOf(row))
    if (group) group.push(row)
    else groups.set(keyOf(row), [row])
  }
  return groups
}
