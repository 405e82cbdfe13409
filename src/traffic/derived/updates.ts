/** Updates of one row, a few columns of one kind at a time. */
import { quoteName } from '../../sql/identifiers.js'
import type { ColumnShape, Row, SchemaShape, TableShape } from '../../values/types.js'
import type { Random } from '../random.js'
import { isInKey, updatableColumns } from './columns.js'
import { condition, locator, type Locator, type Rows } from './rows.js'
import { statement, type Statement } from './statement.js'
import type { Draft, Drafts } from './types.js'

/** Columns of one update. */
const GROUP = 5

const GROUPS = ['status', 'times', 'texts', 'numbers', 'json', 'references', 'others'] as const

/** What a form or a job of the application changes together. */
function groupOf(table: TableShape, { name, type }: ColumnShape): (typeof GROUPS)[number] {
  if (table.foreignKeys.some(({ columns }) => columns.includes(name))) return 'references'
  if (type.labels !== null || type.category === 'B') return 'status'
  if (type.element !== null) return 'others'
  if (type.category === 'D' || type.category === 'T') return 'times'
  if (type.category === 'S') return 'texts'
  if (type.category === 'N') return 'numbers'
  return ['json', 'jsonb', 'hstore', 'xml'].includes(type.base) ? 'json' : 'others'
}

/** Every column that may be updated is in one of them; a table of keys alone writes its row again. */
export function updateDrafts(shape: SchemaShape, table: TableShape, rows: Rows): Drafts {
  const by = locator(table)
  if (by === null) return { drafts: [], leftOut: [{ name: 'update', reason: 'no column tells one row from another' }] }
  const columns = updatableColumns(shape, table).filter(({ name }) => !by.columns.includes(name) || by.unique)
  const drafts: Draft[] = []
  for (const group of GROUPS) {
    const members = columns.filter((column) => groupOf(table, column) === group)
    for (let at = 0; at < members.length; at += GROUP)
      drafts.push(
        update(table, by, members.slice(at, at + GROUP), `update ${group}${at > 0 ? ` ${at / GROUP + 1}` : ''}`, rows),
      )
  }
  return drafts.length > 0 ? { drafts, leftOut: [] } : rewrite(table, by, rows)
}

function update(table: TableShape, by: Locator, columns: readonly ColumnShape[], name: string, rows: Rows): Draft {
  return {
    table,
    does: 'update',
    name,
    transaction: false,
    statements: [
      statement((p) => {
        const set = columns.map((column) => `${quoteName(column.name)} = ${p('new', column.name)}`)
        return `update ${table.sql} set ${set.join(', ')} where ${condition(table, by, p)}`
      }),
    ],
    reads: [],
    writes: [{ table: table.name, columns: columns.map((column) => column.name) }],
    draw(random) {
      const key = rows.existing(table, by.columns, random)
      return { key, new: changed(table, columns, key, rows, random) }
    },
  }
}

/** New values for some columns of a row; each may depend on those before it. */
export function changed(
  table: TableShape,
  columns: readonly ColumnShape[],
  row: Row,
  rows: Rows,
  random: Random,
): Record<string, string | null> {
  const next: Record<string, string | null> = { ...row }
  for (const column of columns)
    next[column.name] = rows.maker.value(table, column, random, { unique: isInKey(table, column.name), row: next })
  return next
}

/** As an ORM saves an object that nobody changed: the locks of an update, and the values as they are. */
function rewrite(table: TableShape, by: Locator, rows: Rows): Drafts {
  const settable = table.columns.filter(({ identity, generated }) => identity !== 'always' && generated === null)
  const keys = settable.filter(({ name }) => by.columns.includes(name))
  const columns = (keys.length > 0 ? keys : settable.slice(0, GROUP)).map(({ name }) => name)
  if (columns.length === 0) return { drafts: [], leftOut: [{ name: 'update', reason: 'no column may be updated' }] }
  const set = (parameter: Statement['parameter']): string =>
    columns.map((name) => `${quoteName(name)} = ${parameter('key', name)}`).join(', ')
  return {
    drafts: [
      {
        table,
        does: 'update',
        name: 'update keys',
        transaction: false,
        statements: [statement((p) => `update ${table.sql} set ${set(p)} where ${condition(table, by, p)}`)],
        reads: [],
        writes: [{ table: table.name, columns }],
        draw: (random) => ({ key: rows.existing(table, [...new Set([...by.columns, ...columns])], random) }),
      },
    ],
    leftOut: [],
  }
}
