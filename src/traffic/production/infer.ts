/** Walks a statement and finds which column each parameter is compared with or assigned to. Pure. */
import { compareSources, type Context } from './comparisons.js'
import { conditions, expression } from './expressions.js'
import { Scope, columnsOf, isView, type Occurrence, type Output, type Tables } from './relations.js'
import { sourceOf } from './sources.js'
import {
  aliasOf,
  fieldsOf,
  isFields,
  itemsOf,
  lastName,
  listOf,
  ofKind,
  outputName,
  parameterOf,
  stringsOf,
  tagged,
  textOf,
  type Fields,
} from './tree.js'
import { Inference } from './uses.js'
import { writing } from './infer-writes.js'

const MOST_VIEWS_DEEP = 8
const OUTERMOST = Symbol('outermost')

/** Finds out about the parameters of a SELECT, INSERT, UPDATE, DELETE or MERGE. */
export function infer(node: unknown, tables: Tables): Inference {
  const context: Context = {
    found: new Inference(),
    tables,
    query: (fields, outer) => query(context, fields, outer),
    depth: 0,
  }
  const statement = tagged(node)
  if (statement?.kind === 'SelectStmt') query(context, statement.fields, null, OUTERMOST)
  else if (statement !== null) dml(context, statement.kind, statement.fields, null)
  return context.found
}

function query(context: Context, fields: Fields, outer: Scope | null, place?: typeof OUTERMOST): Output[] {
  const scope = new Scope(outer)
  withClause(context, fields, scope)
  const { larg, rarg } = fields
  let outputs: Output[]
  if (isFields(larg) && isFields(rarg)) {
    outputs = query(context, larg, scope)
    const others = query(context, rarg, scope)
    for (const [i, output] of outputs.entries())
      compareSources(context, 'same kind', output.source, others[i]?.source ?? null, 0)
  } else if (listOf(fields, 'valuesLists').length > 0) outputs = values(context, fields, scope)
  else {
    for (const item of listOf(fields, 'fromClause')) fromItem(context, item, scope)
    outputs = targets(context, listOf(fields, 'targetList'), scope)
    conditions(context, fields['whereClause'], scope)
    conditions(context, fields['havingClause'], scope)
    for (const part of ['groupClause', 'distinctClause', 'windowClause'])
      expression(context, listOf(fields, part), scope)
  }
  expression(context, listOf(fields, 'sortClause'), scope)
  const limit = parameterOf(fields['limitCount'])
  if (limit !== null) context.found.add(limit, { kind: 'limit', outermost: place === OUTERMOST })
  const offset = parameterOf(fields['limitOffset'])
  if (offset !== null) context.found.add(offset, { kind: 'offset' })
  for (const part of ['limitCount', 'limitOffset']) expression(context, fields[part], scope)
  return outputs
}

export function withClause(context: Context, fields: Fields, scope: Scope): void {
  const clause = fieldsOf(fields, 'withClause')
  for (const item of listOf(clause, 'ctes')) {
    const cte = ofKind(item, 'CommonTableExpr')
    const body = tagged(cte?.['ctequery'])
    if (cte === null || body === null) continue
    const name = textOf(cte, 'ctename')
    const names = stringsOf(listOf(cte, 'aliascolnames'))
    const first = body.fields['larg']
    // The part of a recursive query that does not refer to itself tells what its columns are.
    if (clause?.['recursive'] === true && isFields(first))
      scope.addCte(name, renamed(query(context, first, scope), names))
    const outputs =
      body.kind === 'SelectStmt' ? query(context, body.fields, scope) : dml(context, body.kind, body.fields, scope)
    scope.addCte(name, renamed(outputs, names))
  }
}

/** A statement that writes; its columns are those of RETURNING. */
function dml(context: Context, kind: string, fields: Fields, outer: Scope | null): Output[] {
  const scope = new Scope(outer)
  withClause(context, fields, scope)
  writing(context, kind, fields, scope, (item) => fromItem(context, item, scope))
  const returning = fieldsOf(fields, 'returningClause')
  return targets(context, returning === null ? listOf(fields, 'returningList') : listOf(returning, 'exprs'), scope)
}

const renamed = (outputs: readonly Output[], names: readonly string[]): Output[] =>
  outputs.map((output, i) => ({ ...output, name: names[i] ?? output.name }))

function values(context: Context, fields: Fields, scope: Scope): Output[] {
  const columns: Output[] = []
  for (const [row, list] of listOf(fields, 'valuesLists').entries())
    for (const [i, item] of itemsOf(list).entries()) {
      const source = sourceOf(item, scope)
      expression(context, item, scope, row)
      const before = columns[i]?.source
      const items = source?.kind === 'parameters' ? source.items.map((found) => ({ ...found, index: row })) : []
      const all = [...(before?.kind === 'parameters' ? before.items : []), ...items]
      columns[i] = { name: `column${i + 1}`, source: all.length === 0 ? null : { kind: 'parameters', items: all } }
    }
  return columns
}

function targets(context: Context, list: readonly unknown[], scope: Scope): Output[] {
  return list.flatMap((item) => {
    const target = ofKind(item, 'ResTarget')
    if (target === null) return []
    expression(context, target['val'], scope)
    const column = ofKind(target['val'], 'ColumnRef')
    const fields = listOf(column, 'fields')
    if (column !== null && ofKind(fields.at(-1), 'A_Star') !== null) return scope.all(stringsOf(fields).at(-1) ?? null)
    const call = ofKind(target['val'], 'FuncCall')
    const source =
      call === null ? sourceOf(target['val'], scope) : (unnested(call)[0] ?? sourceOf(target['val'], scope))
    return [{ name: outputName(target), source }]
  })
}

function fromItem(context: Context, item: unknown, scope: Scope): void {
  const found = tagged(item)
  if (found === null) return
  const { kind, fields } = found
  if (kind === 'RangeVar') table(context, fields, scope)
  else if (kind === 'RangeTableSample') {
    fromItem(context, fields['relation'], scope)
    for (const argument of listOf(fields, 'args')) {
      const parameter = parameterOf(argument)
      if (parameter !== null) context.found.add(parameter, { kind: 'constant', value: '10' })
    }
  } else if (kind === 'RangeSubselect') {
    const body = ofKind(fields['subquery'], 'SelectStmt')
    const { name, columns } = aliasOf(fields)
    const outputs = body === null ? [] : query(context, body, scope)
    scope.relations.push({ alias: name, schema: '', columns: renamed(outputs, stringsOf(columns)), at: null })
  } else if (kind === 'RangeFunction') tableFunction(context, fields, scope)
  else if (kind === 'JoinExpr') join(context, fields, scope)
}

/** A table, a view or a CTE. */
export function table(context: Context, fields: Fields, scope: Scope): Occurrence | null {
  const schema = textOf(fields, 'schemaname')
  const relation = textOf(fields, 'relname')
  const { name, columns } = aliasOf(fields)
  const add = (outputs: readonly Output[], at: Occurrence | null): void => {
    scope.relations.push({ alias: name || relation, schema, columns: renamed(outputs, stringsOf(columns)), at })
  }
  const cte = schema === '' ? scope.cte(relation) : null
  const known = cte === null ? context.tables.find(schema, relation) : null
  if (cte !== null) add(cte, null)
  else if (known === null) add([], null)
  else if (isView(known)) {
    const body = context.depth < MOST_VIEWS_DEEP ? ofKind(known.query, 'SelectStmt') : null
    add(body === null ? [] : query({ ...context, depth: context.depth + 1 }, body, null), null)
  } else {
    const at: Occurrence = { id: context.found.occurrences.length, table: known }
    context.found.occurrences.push(at)
    add(columnsOf(at), at)
    return at
  }
  return null
}

/** unnest() of parameters gives a column of their elements. */
function unnested(call: Fields): Output['source'][] {
  if (lastName(listOf(call, 'funcname')) !== 'unnest') return []
  return listOf(call, 'args').map((argument) => {
    const number = parameterOf(argument)
    return number === null ? null : { kind: 'parameters', items: [{ number, index: 0, array: true }] }
  })
}

function tableFunction(context: Context, fields: Fields, scope: Scope): void {
  const outputs: Output[] = []
  for (const list of listOf(fields, 'functions')) {
    const call = ofKind(itemsOf(list)[0], 'FuncCall')
    if (call === null) continue
    const name = lastName(listOf(call, 'funcname'))
    const sources = unnested(call)
    if (sources.length === 0) outputs.push({ name, source: null })
    for (const source of sources) outputs.push({ name, source })
    expression(context, itemsOf(list)[0], scope)
  }
  const { name, columns } = aliasOf(fields)
  // A function of one column gives it the alias: from unnest($1) id.
  const names = columns.length > 0 ? stringsOf(columns) : outputs.length === 1 && name !== '' ? [name] : []
  scope.relations.push({
    alias: name || (outputs[0]?.name ?? ''),
    schema: '',
    columns: renamed(outputs, names),
    at: null,
  })
}

function join(context: Context, fields: Fields, scope: Scope): void {
  const from = scope.relations.length
  fromItem(context, fields['larg'], scope)
  const middle = scope.relations.length
  fromItem(context, fields['rarg'], scope)
  const left = scope.relations.slice(from, middle).flatMap((relation) => relation.columns)
  const right = scope.relations.slice(middle).flatMap((relation) => relation.columns)
  const shared =
    fields['isNatural'] === true
      ? left.map(({ name }) => name).filter((name) => right.some((column) => column.name === name))
      : stringsOf(listOf(fields, 'usingClause'))
  for (const name of shared) {
    const source = (columns: readonly Output[]): Output['source'] =>
      columns.find((column) => column.name === name)?.source ?? null
    compareSources(context, 'equal', source(left), source(right), 0)
  }
  conditions(context, fields['quals'], scope)
}
