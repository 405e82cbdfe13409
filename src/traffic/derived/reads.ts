/** Reads of one table: by its keys, by what is indexed, and the first page. */
import { quoteName } from '../../sql/identifiers.js'
import type { ColumnShape, TableShape } from '../../values/types.js'
import { columnOf, isComparable, isOrdered, plainColumns, primaryKey } from './columns.js'
import { condition, locator, type Rows } from './rows.js'
import { allColumns, castTo, columnList, statement, type Statement } from './statement.js'
import type { Draft, Drafts, Kind } from './types.js'

const PAGE = 20
const LONG_PAGE = 50

/** A comparison with a parameter; null where none is known for the type and the index. */
type Compare = (column: string, parameter: string) => string

/** All reads of the table. */
export function readDrafts(table: TableShape, rows: Rows): Drafts {
  const drafts: Draft[] = []
  const leftOut: Drafts['leftOut'] = []
  for (const key of table.keys) {
    const columns = plainColumns(key.columns)
    if (columns === null || key.kind === 'exclude') continue
    const by = { columns, where: key.where, unique: true }
    drafts.push(
      read(
        table,
        rows,
        key.kind === 'primary' ? 'key' : 'unique',
        `read by ${columns.join(' and ')}`,
        columns,
        (p) => `where ${condition(table, by, p)}`,
      ),
    )
    // The leading columns alone list what belongs together.
    if (columns.length > 1 && isComparableAll(table, columns.slice(0, -1)))
      drafts.push(filter(table, rows, columns.slice(0, -1), key.where, null))
  }
  for (const key of table.foreignKeys)
    if (isComparableAll(table, key.columns)) drafts.push(filter(table, rows, key.columns, null, null))
  for (const index of table.indexes) {
    const leading = index.columns.slice(0, index.columns.includes(null) ? index.columns.indexOf(null) : undefined)
    const columns = plainColumns(leading) ?? []
    const last = columnOf(table, columns.at(-1) ?? '')
    // An expression comes first: what it is compared with is not known.
    if (last === null) continue
    const compare = comparison(index.method, last)
    if (compare === null)
      leftOut.push({
        name: `read by ${last.name}`,
        reason: `no comparison is known for ${index.method} on ${last.type.sql}`,
      })
    else if (compare === 'equal')
      drafts.push(filter(table, rows, columns, index.where, isOrdered(last.type) ? last.name : null))
    else drafts.push(search(table, rows, last, compare))
  }
  drafts.push(read(table, rows, 'list', 'list', [], () => `${orderBy(table, [])} limit ${LONG_PAGE}`.trim()))
  return { drafts, leftOut }
}

const isComparableAll = (table: TableShape, columns: readonly string[]): boolean =>
  columns.every((name) => {
    const column = columnOf(table, name)
    return column !== null && isComparable(column.type)
  })

function read(
  table: TableShape,
  rows: Rows,
  does: Kind,
  name: string,
  keys: readonly string[],
  rest: (parameter: Statement['parameter']) => string,
): Draft {
  const columns = allColumns(table)
  return {
    table,
    does,
    name,
    transaction: false,
    statements: [statement((p) => `select ${columnList(columns)} from ${table.sql} ${rest(p)}`)],
    reads: [{ table: table.name, columns }],
    writes: [],
    draw: (random) => ({ key: keys.length === 0 ? {} : rows.existing(table, keys, random) }),
  }
}

/** A page of what has the columns' values; from a value on for the last one where `from` names it. */
function filter(
  table: TableShape,
  rows: Rows,
  columns: readonly string[],
  where: string | null,
  from: string | null,
): Draft {
  const equal = columns.filter((name) => name !== from)
  const name = [...(equal.length > 0 ? [`by ${equal.join(' and ')}`] : []), ...(from === null ? [] : [`from ${from}`])]
  return read(table, rows, 'filter', `read ${name.join(' ')}`, columns, (p) => {
    const by = { columns: equal, where, unique: true }
    const terms = [
      ...(equal.length > 0 || where !== null ? [condition(table, by, p)] : []),
      ...(from === null ? [] : [`${quoteName(from)} >= ${p('key', from)}`]),
    ]
    return `where ${terms.join(' and ')}${orderBy(table, from === null ? [] : [from])} limit ${PAGE}`
  })
}

function search(table: TableShape, rows: Rows, column: ColumnShape, compare: Compare): Draft {
  const { name, type } = column
  const draft = read(
    table,
    rows,
    'filter',
    `search ${name}`,
    [name],
    (p) => `where ${compare(quoteName(name), castTo(p('key', name), type))}${orderBy(table, [])} limit ${PAGE}`,
  )
  if (type.base !== 'tsvector') return draft
  return {
    ...draft,
    draw(random) {
      const key = draft.draw(random).key ?? {}
      // People search for a word, not for the positions of all of them.
      return { key: { ...key, [name]: /'((?:[^']|'')+)'/.exec(key[name] ?? '')?.[1] ?? null } }
    },
  }
}

/** How a column is asked for so that an index of this kind serves; null when that is not known. */
function comparison(method: string, { type }: ColumnShape): Compare | 'equal' | null {
  const isText = type.category === 'S' && type.element === null
  if (['btree', 'hash', 'brin'].includes(method)) return isComparable(type) ? 'equal' : null
  if (type.base === 'tsvector') return (column, parameter) => `${column} @@ plainto_tsquery(${parameter}::text)`
  if (type.kind === 'r' || type.kind === 'm') return (column, parameter) => `${column} && ${parameter}`
  if (isText) return (column, parameter) => `${column} like ${parameter}`
  if (method === 'gin' && (type.element !== null || type.base === 'jsonb' || type.base === 'hstore'))
    return (column, parameter) => `${column} @> ${parameter}`
  if (['box', 'circle', 'polygon', 'point'].includes(type.base))
    return (column, parameter) => `${column} ~= ${parameter}`
  return isComparable(type) ? 'equal' : null
}

/** By the columns and then by what makes the order of rows definite, as pages need it. */
function orderBy(table: TableShape, first: readonly string[]): string {
  const key = plainColumns(primaryKey(table)?.columns ?? []) ?? []
  const found = locator(table)
  const then = key.length > 0 ? key : found?.unique ? found.columns : []
  const columns = [...first, ...then.filter((name) => !first.includes(name))]
  return columns.length === 0 ? '' : ` order by ${columnList(columns)}`
}

/** A row with what its reference names, and what refers to a row: once for each foreign key. */
export function joinDrafts(tables: readonly TableShape[], table: TableShape, rows: Rows): Draft[] {
  const drafts: Draft[] = []
  for (const key of table.foreignKeys) {
    const parent = tables.find(({ name }) => name === key.target)
    const own = locator(table)
    if (parent === undefined || !parent.may.select) continue
    const on = key.columns
      .map((name, i) => `p.${quoteName(key.targetColumns[i] ?? '')} = c.${quoteName(name)}`)
      .join(' and ')
    const both = `${columnList(allColumns(table), 'c.')}, ${columnList(allColumns(parent), 'p.')}`
    const reads = [
      { table: table.name, columns: allColumns(table) },
      { table: parent.name, columns: allColumns(parent) },
    ]
    const sure = key.columns.every((name) => columnOf(table, name)?.notNull)
    const by = key.columns.join(' and ')
    if (own?.unique && own.where === null)
      drafts.push({
        table,
        does: 'join',
        name: `with ${parent.bare} by ${by}`,
        transaction: false,
        statements: [
          statement(
            (p) =>
              `select ${both} from ${table.sql} c ${sure ? 'join' : 'left join'} ${parent.sql} p on ${on} where ${condition(table, own, p, 'c.')}`,
          ),
        ],
        reads,
        writes: [],
        draw: (random) => ({ key: rows.existing(table, own.columns, random) }),
      })
    const order = own?.unique ? ` order by ${columnList(own.columns, 'c.')}` : ''
    drafts.push({
      table: parent,
      does: 'join',
      name: `with ${table.name} by ${by}`,
      transaction: false,
      statements: [
        statement((p) => {
          const found = key.targetColumns.map((name) => `p.${quoteName(name)} = ${p('key', name)}`).join(' and ')
          return `select ${both} from ${parent.sql} p left join ${table.sql} c on ${on} where ${found}${order} limit ${PAGE}`
        }),
      ],
      reads: [...reads].reverse(),
      writes: [],
      draw: (random) => ({ key: rows.existing(parent, key.targetColumns, random) }),
    })
  }
  return drafts
}
