/** The statements that write: what is assigned to which column. Pure. */
import type { Context } from './comparisons.js'
import { conditions, expression } from './expressions.js'
import { Scope, columnsOf, isView, type Occurrence } from './relations.js'
import { sourceOf } from './sources.js'
import {
  aliasOf,
  fieldsOf,
  itemsOf,
  lastName,
  listOf,
  numberOf,
  ofKind,
  parameterOf,
  tagged,
  textOf,
  uncast,
  type Fields,
} from './tree.js'
import type { ColumnShape } from '../../values/types.js'

interface Writer {
  context: Context
  scope: Scope
  at: Occurrence | null
  by: 'insert' | 'update'
}

/** Walks everything but WITH and RETURNING. `from` adds what stands in FROM or USING to the scope. */
export function writing(
  context: Context,
  kind: string,
  fields: Fields,
  scope: Scope,
  from: (item: unknown) => void,
): void {
  const at = target(context, fieldsOf(fields, 'relation'), scope)
  if (kind === 'InsertStmt') insert({ context, scope, at, by: 'insert' }, fields)
  else if (kind === 'UpdateStmt') {
    for (const item of listOf(fields, 'fromClause')) from(item)
    assignments({ context, scope, at, by: 'update' }, listOf(fields, 'targetList'))
    conditions(context, fields['whereClause'], scope)
  } else if (kind === 'DeleteStmt') {
    for (const item of listOf(fields, 'usingClause')) from(item)
    conditions(context, fields['whereClause'], scope)
  } else if (kind === 'MergeStmt') {
    from(fields['sourceRelation'])
    merge(context, fields, scope, at)
  }
}

/** The table that is written to, and never a CTE of its name. */
function target(context: Context, relation: Fields | null, scope: Scope): Occurrence | null {
  const known = context.tables.find(textOf(relation, 'schemaname'), textOf(relation, 'relname'))
  if (relation === null || known === null || isView(known)) return null
  const at: Occurrence = { id: context.found.occurrences.length, table: known }
  context.found.occurrences.push(at)
  const alias = aliasOf(relation).name || textOf(relation, 'relname')
  scope.relations.push({ alias, schema: '', columns: columnsOf(at), at })
  return at
}

const columnNamed = (at: Occurrence | null, name: string): ColumnShape | null =>
  at?.table.columns.find((column) => column.name === name) ?? null

function insert(writer: Writer, fields: Fields): void {
  const { context, scope, at } = writer
  const listed = listOf(fields, 'cols').map((column) => textOf(ofKind(column, 'ResTarget'), 'name'))
  const names = listed.length > 0 ? listed : (at?.table.columns.map(({ name }) => name) ?? [])
  if (at !== null) context.found.inserted.set(at, new Set(names))
  // What is inserted does not see the table's own columns.
  const inside = new Scope(scope, { onlyCtes: true })
  const query = ofKind(fields['selectStmt'], 'SelectStmt')
  const rows = listOf(query, 'valuesLists')
  if (rows.length > 0 && fieldsOf(query, 'withClause') === null)
    for (const [row, list] of rows.entries())
      for (const [i, item] of itemsOf(list).entries())
        assign({ ...writer, scope: inside }, columnNamed(at, names[i] ?? ''), item, row)
  else if (query !== null)
    for (const [i, output] of context.query(query, inside).entries()) {
      const column = columnNamed(at, names[i] ?? '')
      if (at === null || column === null || output.source?.kind !== 'parameters') continue
      for (const { number, index, array } of output.source.items)
        context.found.add(number, { kind: 'assign', by: 'insert', at, column, index, array })
    }
  const conflict = fieldsOf(fields, 'onConflictClause')
  if (conflict === null) return
  if (at !== null) context.found.conflicts.push({ at, columns: conflictColumns(at, conflict) })
  const both = new Scope(scope)
  both.relations.push({ alias: 'excluded', schema: '', columns: at === null ? [] : columnsOf(at), at })
  assignments({ ...writer, scope: both, by: 'update' }, listOf(conflict, 'targetList'))
  conditions(context, conflict['whereClause'], both)
}

/** Columns by which ON CONFLICT arbitrates. Empty when any conflict counts. */
function conflictColumns(at: Occurrence, conflict: Fields): string[] {
  const inferred = fieldsOf(conflict, 'infer')
  const constraint = textOf(inferred, 'conname')
  if (constraint !== '') {
    const key = at.table.keys.find(({ name }) => name === constraint)
    return (key?.columns ?? []).flatMap((column) => column ?? [])
  }
  return listOf(inferred, 'indexElems').flatMap((element) => {
    const name = textOf(ofKind(element, 'IndexElem'), 'name')
    return name === '' ? [] : [name]
  })
}

function assignments(writer: Writer, list: readonly unknown[]): void {
  for (const item of list) {
    const one = ofKind(item, 'ResTarget')
    if (one === null) continue
    const column = columnNamed(writer.at, textOf(one, 'name'))
    const multi = ofKind(one['val'], 'MultiAssignRef')
    if (multi === null) assign(writer, column, one['val'], 0)
    else if (ofKind(multi['source'], 'RowExpr') !== null)
      assign(writer, column, itemsOf(multi['source'])[numberOf(multi, 'colno') - 1], 0)
    else if (numberOf(multi, 'colno') === 1) expression(writer.context, multi['source'], writer.scope)
  }
}

/** Functions that hand on what they are given, or nearly. */
const HANDS_ON = new Set(['lower', 'upper', 'btrim', 'ltrim', 'rtrim', 'array_cat', 'to_jsonb', 'date'])

/** Parameters that end up in the column; others in the expression are looked at for themselves. */
function assign(writer: Writer, column: ColumnShape | null, node: unknown, index: number): void {
  const { context, scope, at, by } = writer
  const again = (part: unknown, row = index): void => assign(writer, column, part, row)
  const source = sourceOf(node, scope)
  if (source?.kind === 'parameters' && ofKind(uncast(node).node, 'A_ArrayExpr') === null) {
    for (const { number, index: row, array } of source.items)
      if (at !== null && column !== null)
        context.found.add(number, { kind: 'assign', by, at, column, index: row + index, array })
    return
  }
  const { kind, fields } = tagged(uncast(node).node) ?? { kind: '', fields: {} }
  if (kind === 'CoalesceExpr') for (const part of listOf(fields, 'args')) again(part)
  else if (kind === 'CaseExpr') {
    for (const [i, branch] of listOf(fields, 'args').entries()) {
      const when = ofKind(branch, 'CaseWhen')
      again(when?.['result'], index + i)
    }
    again(fields['defresult'])
    withoutResults(context, fields, scope, index)
  } else if (kind === 'FuncCall' && HANDS_ON.has(lastName(listOf(fields, 'funcname')))) {
    const [first, ...rest] = listOf(fields, 'args')
    again(first)
    expression(context, rest, scope, index)
  } else if (kind === 'A_Expr' && fields['kind'] === 'AEXPR_NULLIF') again(fields['lexpr'])
  else if (kind === 'A_Expr' && lastName(listOf(fields, 'name')) === '||' && !isText(column)) {
    for (const side of ['lexpr', 'rexpr']) if (parameterOf(fields[side]) !== null) again(fields[side])
    expression(context, fields['lexpr'], scope, index)
    expression(context, fields['rexpr'], scope, index)
  } else expression(context, node, scope, index)
}

/** A text grows with `||`; only arrays and JSON take values of the column's own kind. */
const isText = (column: ColumnShape | null): boolean => column === null || column.type.category === 'S'

/** The conditions of CASE: rows are told apart by their branch. */
function withoutResults(context: Context, fields: Fields, scope: Scope, index: number): void {
  const args = listOf(fields, 'args').map((branch) => {
    const when = ofKind(branch, 'CaseWhen')
    return when === null ? branch : { CaseWhen: { expr: when['expr'] } }
  })
  expression(context, { CaseExpr: { arg: fields['arg'], args } }, scope, index)
}

function merge(context: Context, fields: Fields, scope: Scope, at: Occurrence | null): void {
  conditions(context, fields['joinCondition'], scope)
  if (at !== null) context.found.conflicts.push({ at, columns: joined(fields['joinCondition'], scope, at) })
  for (const clause of listOf(fields, 'mergeWhenClauses')) {
    const when = ofKind(clause, 'MergeWhenClause')
    conditions(context, when?.['condition'], scope)
    const list = listOf(when, 'targetList')
    if (when?.['commandType'] === 'CMD_INSERT') {
      const names = list.map((item) => textOf(ofKind(item, 'ResTarget'), 'name'))
      const all = names.length > 0 ? names : (at?.table.columns.map(({ name }) => name) ?? [])
      if (at !== null) context.found.inserted.set(at, new Set(all))
      for (const [i, value] of listOf(when, 'values').entries())
        assign({ context, scope, at, by: 'insert' }, columnNamed(at, all[i] ?? ''), value, 0)
    } else assignments({ context, scope, at, by: 'update' }, list)
  }
}

/** Columns of the table that MERGE is joined by. */
function joined(node: unknown, scope: Scope, at: Occurrence): string[] {
  const all = ofKind(node, 'BoolExpr')
  if (all !== null) return listOf(all, 'args').flatMap((argument) => joined(argument, scope, at))
  const comparison = ofKind(node, 'A_Expr')
  return [comparison?.['lexpr'], comparison?.['rexpr']].flatMap((side) => {
    const source = side === undefined ? null : sourceOf(side, scope)
    return source?.kind === 'column' && source.at === at ? [source.column.name] : []
  })
}
