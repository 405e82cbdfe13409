/** Finds what the parameters inside an expression are compared with. Pure. */
import {
  COMPARISONS,
  alike,
  asArrays,
  compare,
  compareSources,
  inArray,
  inList,
  isArray,
  type Context,
} from './comparisons.js'
import { FUNCTION_HINTS, SAME_KIND_FUNCTIONS, SMALL_FUNCTIONS } from './function-hints.js'
import type { Scope, Source } from './relations.js'
import { elementsOf, sourceOf } from './sources.js'
import { isFields, itemsOf, lastName, listOf, ofKind, parameterOf, tagged, uncast, type Fields } from './tree.js'

const ARITHMETIC = new Set(['+', '-', '*', '/', '%', '^', '&', '|', '#', '<<', '>>'])

/** `index` tells rows of a list apart: parameters of one row are drawn from one row. */
export function expression(context: Context, node: unknown, scope: Scope, index = 0): void {
  if (Array.isArray(node)) {
    for (const item of node) expression(context, item, scope, index)
    return
  }
  const found = tagged(node)
  if (found === null) {
    if (isFields(node)) for (const value of Object.values(node)) expression(context, value, scope, index)
    return
  }
  const { kind, fields } = found
  if (kind === 'A_Expr') operator(context, fields, scope, index)
  else if (kind === 'BoolExpr') boolean(context, fields, scope, index)
  else if (kind === 'SubLink') subLink(context, fields, scope, index)
  else if (kind === 'CaseExpr') choice(context, fields, scope, index)
  else if (kind === 'SelectStmt') context.query(fields, scope)
  else if (kind === 'FuncCall') functionCall(context, fields, scope, index)
  else {
    if (kind === 'CoalesceExpr' || kind === 'MinMaxExpr') alike(context, listOf(fields, 'args'), scope, index)
    for (const value of Object.values(fields)) expression(context, value, scope, index)
  }
}

/** What must all hold: WHERE, ON and the like. */
export function conditions(context: Context, node: unknown, scope: Scope): void {
  const all = ofKind(node, 'BoolExpr')
  if (all !== null && all['boolop'] === 'AND_EXPR') {
    for (const one of listOf(all, 'args')) conditions(context, one, scope)
    return
  }
  const test = ofKind(node, 'NullTest')
  const source = test === null ? null : sourceOf(test['arg'], scope)
  if (source?.kind === 'column' && source.wraps.length + source.path.length === 0)
    context.found.nulls.push({ source, isNull: test?.['nulltesttype'] === 'IS_NULL' })
  expression(context, node, scope)
}

/** The branches of an OR are about different rows, but for `$1 is null or ...`. */
function boolean(context: Context, fields: Fields, scope: Scope, index: number): void {
  let branch = 0
  for (const argument of listOf(fields, 'args')) {
    expression(context, argument, scope, index + branch)
    if (fields['boolop'] === 'OR_EXPR' && ofKind(argument, 'NullTest') === null) branch++
  }
}

function operator(context: Context, fields: Fields, scope: Scope, index: number): void {
  const name = lastName(listOf(fields, 'name'))
  const { lexpr: left, rexpr: right } = fields
  switch (fields['kind']) {
    case 'AEXPR_IN':
      inList(context, name, left, right, scope, index)
      break
    case 'AEXPR_OP_ANY':
    case 'AEXPR_OP_ALL':
      inArray(context, name, left, right, scope, index)
      break
    case 'AEXPR_BETWEEN':
    case 'AEXPR_BETWEEN_SYM':
    case 'AEXPR_NOT_BETWEEN':
    case 'AEXPR_NOT_BETWEEN_SYM': {
      const [low, high] = itemsOf(right)
      compare(context, 'above', left, low, scope, index)
      compare(context, 'below', left, high, scope, index)
      break
    }
    case 'AEXPR_DISTINCT':
      compare(context, 'other', left, right, scope, index)
      break
    case 'AEXPR_NOT_DISTINCT':
      compare(context, 'equal', left, right, scope, index)
      break
    case 'AEXPR_NULLIF':
      compare(context, 'same kind', left, right, scope, index)
      break
    default:
      plainOperator(context, name, left, right, scope, index)
  }
  expression(context, left, scope, index)
  expression(context, right, scope, index)
}

function plainOperator(
  context: Context,
  name: string,
  left: unknown,
  right: unknown,
  scope: Scope,
  index: number,
): void {
  const comparison = COMPARISONS[name]
  const sources = { left: sourceOf(left, scope), right: sourceOf(right, scope) }
  const list = ofKind(uncast(right).node, 'A_ArrayExpr') !== null
  if (comparison === 'contains' && list && isArray(sources.left))
    // tags @> array[$1]
    compareSources(context, 'equal', elementsOf(sources.left), sources.right, index)
  else if (comparison === 'key' && name !== '?' && !list && sources.right?.kind === 'parameters')
    // data ?| $1
    compareSources(context, comparison, sources.left, asArrays(sources.right), index)
  else if (comparison !== undefined) compare(context, comparison, left, right, scope, index)
  else if (name === '->' || name === '->>') {
    const parameter = parameterOf(right)
    const source = sourceOf(left, scope)
    if (parameter !== null && source?.kind === 'column')
      context.found.add(parameter, { kind: 'json key', source, index })
  } else if (name === '%' && [left, right].some((side) => isText(sourceOf(side, scope))))
    compare(context, 'same kind', left, right, scope, index)
  else if (ARITHMETIC.has(name))
    for (const side of [left, right]) {
      const parameter = parameterOf(side)
      if (parameter !== null) context.found.add(parameter, { kind: 'small' })
    }
}

const isText = (source: Source): boolean => source?.kind === 'column' && source.column.type.category === 'S'

function subLink(context: Context, fields: Fields, scope: Scope, index: number): void {
  const query = ofKind(fields['subselect'], 'SelectStmt')
  const outputs = query === null ? [] : context.query(query, scope)
  const test = fields['testexpr']
  if (test === undefined) return
  expression(context, test, scope, index)
  const names = listOf(fields, 'operName')
  const comparison = names.length === 0 ? 'equal' : (COMPARISONS[lastName(names)] ?? 'same kind')
  const tests = ofKind(test, 'RowExpr') === null ? [test] : itemsOf(test)
  for (const [i, one] of tests.entries())
    compareSources(context, comparison, sourceOf(one, scope), outputs[i]?.source ?? null, index)
}

function choice(context: Context, fields: Fields, scope: Scope, index: number): void {
  const subject = fields['arg']
  for (const [i, branch] of listOf(fields, 'args').entries()) {
    const when = ofKind(branch, 'CaseWhen')
    if (subject !== undefined) compare(context, 'equal', subject, when?.['expr'], scope, index + i)
    expression(context, when?.['expr'], scope, index + i)
    expression(context, when?.['result'], scope, index + i)
  }
  expression(context, subject, scope, index)
  expression(context, fields['defresult'], scope, index)
}

function functionCall(context: Context, fields: Fields, scope: Scope, index: number): void {
  const name = lastName(listOf(fields, 'funcname'))
  const args = listOf(fields, 'args')
  const hints = FUNCTION_HINTS[`${name}/${args.length}`] ?? FUNCTION_HINTS[name] ?? []
  for (const [i, argument] of args.entries()) {
    const parameter = parameterOf(argument)
    const value = hints[i]
    if (parameter === null) continue
    if (typeof value === 'string') context.found.add(parameter, { kind: 'constant', value })
    else if (SMALL_FUNCTIONS.has(name)) context.found.add(parameter, { kind: 'small' })
  }
  if (SAME_KIND_FUNCTIONS.has(name)) alike(context, args, scope, index)
  for (const value of Object.values(fields)) expression(context, value, scope, index)
}
