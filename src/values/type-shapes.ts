/** Types of the catalog, domains and parts resolved. */
import type { TypeRow } from './catalog-queries.js'
import type { TypeShape } from './types.js'

/** A composite may hold an array of itself only through a domain or table; deeper than this nobody looks. */
const MOST_LEVELS = 8

/** Resolves a type's oid with its modifier (-1 for none); `sql` is what format_type writes for both. */
export type ResolveType = (oid: number, modifier: number, sql?: string) => TypeShape

const json = (text: string | null): unknown => (text === null ? null : JSON.parse(text))

const KINDS: readonly string[] = ['b', 'c', 'e', 'r', 'm', 'p']

export function typeResolver(rows: readonly TypeRow[]): ResolveType {
  const types = new Map(rows.map((row) => [row.oid, row]))

  const resolve = (oid: number, modifier: number, sql: string | undefined, level: number): TypeShape => {
    const domainChecks: string[] = []
    let domainNotNull = false
    let row = types.get(oid)
    const outer = row
    let typmod = modifier
    while (row?.kind === 'd') {
      domainChecks.push(...((json(row.checks) ?? []) as string[]))
      domainNotNull ||= row.not_null
      if (typmod < 0) typmod = row.modifier
      row = types.get(row.base)
    }
    if (!row || level > MOST_LEVELS) return { ...UNKNOWN, sql: sql ?? outer?.sql ?? UNKNOWN.sql }
    const inner = (part: number, partModifier = -1, partSql?: string): TypeShape =>
      resolve(part, partModifier, partSql, level + 1)
    const attributes = json(row.attributes) as [string, number, number, string][] | null
    return {
      sql: sql ?? outer?.sql ?? row.sql,
      base: row.name,
      kind: (KINDS.includes(row.kind) ? row.kind : 'p') as TypeShape['kind'],
      category: row.category,
      modifier: typmod,
      labels: json(row.labels) as string[] | null,
      // The modifier of an array is that of its elements.
      element: row.element === 0 ? null : inner(row.element, typmod),
      subtype: row.subtype === null ? null : inner(row.subtype),
      attributes:
        attributes?.map(([name, type, typeModifier, typeSql]) => ({
          name,
          type: inner(type, typeModifier, typeSql),
        })) ?? null,
      domainChecks,
      domainNotNull,
    }
  }
  return (oid, modifier, sql) => resolve(oid, modifier, sql, 0)
}

const UNKNOWN: TypeShape = {
  sql: 'unknown',
  base: 'unknown',
  kind: 'p',
  category: 'X',
  modifier: -1,
  labels: null,
  element: null,
  subtype: null,
  attributes: null,
  domainChecks: [],
  domainNotNull: false,
}
