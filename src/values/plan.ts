/** What is known of a table before its first row is made: checks read, keys with the column that makes them unique. */
import { Demands, demand } from './demands.js'
import { familyOf, readExpression, type Expression, type FindColumn } from './expression.js'
import { precisionAndScale } from './make-number.js'
import { textLimit } from './make-text.js'
import { isText } from './make-text.js'
import { domainWant } from './make-type.js'
import { nullShare, usualFor, wordsFor } from './names.js'
import { Random } from './random.js'
import type { Pools as WordPools } from './faker-pools.js'
import type { ColumnShape, ForeignKeyShape, KeyShape, TableShape, TypeShape } from './types.js'
import { ANYTHING, both, type Want } from './want.js'

export interface PlannedCheck {
  name: string
  expression: Expression
  columns: readonly string[]
}

export interface PlannedColumn {
  column: ColumnShape
  words: ((random: Random) => string) | null
  usual: readonly [number, number] | null
  nullShare: number
  /** Carries the uniqueness of a key. */
  unique: boolean
  /** Of an exclusion constraint's times: how far apart, in ms. */
  apartMs: number
}

export interface PlannedKey {
  key: KeyShape
  columns: readonly string[]
  /** The column whose values alone make the key unique; null when the combination must be looked at. */
  bearer: string | null
  where: Expression | null
  /** Rows may stay outside a partial key whose columns have too few values. */
  avoidable: boolean
}

export interface Plan {
  table: TableShape
  checks: readonly PlannedCheck[]
  columns: ReadonlyMap<string, PlannedColumn>
  keys: readonly PlannedKey[]
  /** Those with the most columns first, so that they decide what the others share with them. */
  foreignKeys: readonly ForeignKeyShape[]
  /** Foreign keys of which each target row may be referred to once. */
  onceOnly: ReadonlySet<ForeignKeyShape>
}

/** From so many possible values on a column is taken to be unique by itself. */
const ENOUGH = 1_000_000
const USUAL_APART_MS = 1000
const RESERVATION_APART_MS = 3_600_000
const RESERVATION_MS = 1_800_000

export function planTable(table: TableShape, words: WordPools): Plan {
  const byName = new Map(table.columns.map((column) => [column.name, column]))
  const find: FindColumn = (name) => {
    const column = byName.get(name)
    return column ? { name, family: familyOf(column.type) } : null
  }
  const checks: PlannedCheck[] = table.checks.map((check) => ({
    name: check.name,
    expression: readExpression(check.expression, find),
    columns: check.columns,
  }))
  if (table.partitionBounds.length > 0) checks.push(partitionCheck(table, find))
  const reservations = table.keys.flatMap((key) => reservationOf(key, find))
  checks.push(...reservations.map(({ check }) => check))

  const room = roomOf(checks)
  const keys = table.keys.map((key) => planKey(key, table, room, find, reservations[0]?.start ?? null))
  const bearers = new Set(keys.map(({ bearer }) => bearer))
  // NULL in what a NOT NULL column is computed from would make that NULL, too; which columns these are is not known here.
  const feeds = table.columns.some(({ generated, notNull }) => generated !== null && notNull)
  const columns = new Map(
    table.columns.map((column): [string, PlannedColumn] => [
      column.name,
      {
        column,
        words: isText(column.type.base) ? wordsFor(column.name, table.bare, textLimit(column.type), words) : null,
        usual: usualFor(column.name),
        nullShare: column.notNull || column.type.domainNotNull || feeds ? 0 : nullShare(table.name, column.name),
        unique: bearers.has(column.name),
        apartMs: reservations.some(({ start }) => start === column.name) ? RESERVATION_APART_MS : USUAL_APART_MS,
      },
    ]),
  )
  const foreignKeys = [...table.foreignKeys].sort((a, b) => b.columns.length - a.columns.length)
  const onceOnly = foreignKeys.filter((foreignKey) =>
    keys.some(
      ({ key, columns: names, where }) =>
        where === null && key.kind !== 'exclude' && names.every((name) => foreignKey.columns.includes(name)),
    ),
  )
  return { table, checks, columns, keys, foreignKeys, onceOnly: new Set(onceOnly) }
}

/** A row must be in some leaf: one of their constraints holds. */
function partitionCheck(table: TableShape, find: FindColumn): PlannedCheck {
  const items = table.partitionBounds.map((bound) => readExpression(bound, find))
  return { name: 'partition bounds', expression: { kind: 'or', items, family: 'boolean' }, columns: [] }
}

/** `tstzrange(starts_at, ends_at) WITH &&`: what is short and far enough apart does not overlap. */
function reservationOf(key: KeyShape, find: FindColumn): { start: string; check: PlannedCheck }[] {
  if (key.kind !== 'exclude') return []
  return key.expressions.flatMap((sql) => {
    const expression = readExpression(sql, find)
    if (expression.kind !== 'call' || !/^(ts|tstz|date)range$/.test(expression.name)) return []
    const [from, to] = expression.items
    if (from?.kind !== 'column' || to?.kind !== 'column') return []
    const longest: Expression = { kind: 'constant', value: RESERVATION_MS, family: 'interval' }
    const end: Expression = { kind: 'operator', name: '+', left: from, right: longest, family: 'time' }
    const items: Expression[] = [
      { kind: 'operator', name: '<', left: from, right: to, family: 'boolean' },
      { kind: 'operator', name: '<=', left: to, right: end, family: 'boolean' },
    ]
    if (expression.name === 'daterange') items.pop()
    return [
      {
        start: from.name,
        check: { name: key.name, expression: { kind: 'and', items, family: 'boolean' }, columns: [from.name, to.name] },
      },
    ]
  })
}

function planKey(
  key: KeyShape,
  table: TableShape,
  room: (column: ColumnShape) => number,
  find: FindColumn,
  start: string | null,
): PlannedKey {
  const names = [...key.columns.filter((name) => name !== null), ...key.expressionColumns]
  const where = key.where === null ? null : readExpression(key.where, find)
  const columns = table.columns.filter(({ name }) => names.includes(name))
  const own = columns.filter(({ name }) => !table.foreignKeys.some((foreignKey) => foreignKey.columns.includes(name)))
  const rank = (column: ColumnShape): number =>
    (column.sequence ? 2 : 0) + (column.type.kind === 'r' || column.name === start ? 4 : 0)
  const [best] = own.filter((column) => column.sequence || room(column) >= ENOUGH).sort((a, b) => rank(b) - rank(a))
  const alone =
    columns.length === 1 && own.length === 1 && Number.isFinite(room(columns[0] as ColumnShape)) ? own[0] : undefined
  const bearer = best?.name ?? alone?.name ?? null
  return { key, columns: names, bearer, where, avoidable: where !== null && best === undefined }
}

/** How many values a column can have, 0 where they cannot be counted out. */
function roomOf(checks: readonly PlannedCheck[]): (column: ColumnShape) => number {
  const random = new Random('room')
  const demands = new Demands()
  for (const check of checks) demand(check.expression, true, demands, random)
  return (column) => {
    const domain = domainWant(column.type, random)
    const want = both(demands.wants.get(column.name) ?? ANYTHING, domain ?? ANYTHING)
    return want ? valuesOf(column.type, want) : 0
  }
}

/** How many values of a type there are that are as wanted; 0 for texts of a pattern, whose number nobody knows. */
export function valuesOf(type: TypeShape, want: Readonly<Want>): number {
  if (want.patterns.length > 0) return 0
  if (want.oneOf) return want.oneOf.length
  if (type.labels) return type.labels.length
  if (type.base === 'bool') return 2
  if (isText(type.base)) return 36 ** Math.min(textLimit(type), want.maxLength, 12)
  const between = want.max - want.min
  if (type.base === 'date') return Math.min(40_000, between / 86_400_000)
  if (type.base === 'int2') return Math.min(32_767, between + 1)
  if (type.base === 'bit') return 2 ** Math.min(Math.max(type.modifier, 1), 48)
  const numeric = precisionAndScale(type)
  if (numeric) return Math.min(10 ** Math.min(numeric.precision, 15), between * 10 ** numeric.scale + 1)
  return between + 1
}
