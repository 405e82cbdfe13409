/** What has to be asked of the database before statements can be looked at: types, views, the search path. */
import type { Sql } from '../../pg/connect.js'
import { parseSql, SqlSyntaxError } from '../../sql/parser.js'
import { TYPES, type TypeRow } from '../../values/catalog-queries.js'
import { typeResolver } from '../../values/type-shapes.js'
import type { SchemaShape, TypeShape } from '../../values/types.js'
import { Tables, type View } from './relations.js'

/** A type by its oid. */
export type TypeOf = (oid: number) => TypeShape

export async function readTypes(sql: Sql): Promise<TypeOf> {
  const resolve = typeResolver([...(await sql.unsafe<TypeRow[]>(TYPES))])
  return (oid) => resolve(oid, -1)
}

export async function readTables(sql: Sql, shape: SchemaShape): Promise<Tables> {
  const [path] = await sql.unsafe<{ path: string }[]>('select to_json(current_schemas(false))::text as path')
  const views = await sql.unsafe<{ schema: string; name: string; definition: string | null }[]>(
    `select schemaname::text as schema, viewname::text as name, definition from pg_catalog.pg_views
      where schemaname not in ('pg_catalog', 'information_schema')`,
  )
  return new Tables(shape, views.flatMap(toView), JSON.parse(path?.path ?? '[]') as string[])
}

function toView({ schema, name, definition }: { schema: string; name: string; definition: string | null }): View[] {
  try {
    return definition === null ? [] : [{ schema, name, query: parseSql(definition)[0]?.node }]
  } catch (error) {
    // A server may know syntax that this parser does not: the view's columns are of unknown origin then.
    if (error instanceof SqlSyntaxError) return [{ schema, name, query: null }]
    throw error
  }
}
