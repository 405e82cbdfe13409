/** Columns and parameters that are compared, and what is noted of them. Pure. */
import type { ColumnSource, Output, ParameterSource, Scope, Source, Tables } from './relations.js'
import { elementsOf, ofList, sourceOf } from './sources.js'
import { itemsOf, ofKind, parameterOf, uncast, type Fields } from './tree.js'
import type { Comparison, Inference } from './uses.js'

export interface Context {
  found: Inference
  tables: Tables
  /** Walks a query and gives its columns. */
  query: (fields: Fields, outer: Scope | null) => Output[]
  /** Views inside views. */
  depth: number
}

/** What `column operator parameter` asks for. */
export const COMPARISONS: Readonly<Record<string, Comparison>> = {
  '=': 'equal',
  '<>': 'other',
  '!=': 'other',
  '>': 'above',
  '>=': 'above',
  '<': 'below',
  '<=': 'below',
  '~~': 'like',
  '~~*': 'like',
  '!~~': 'other',
  '!~~*': 'other',
  '~': 'regex',
  '~*': 'regex',
  '!~': 'regex',
  '!~*': 'regex',
  '@>': 'contains',
  '<@': 'same kind',
  '&&': 'contains',
  '?': 'key',
  '?|': 'key',
  '?&': 'key',
  '<->': 'same kind',
  '<%': 'same kind',
  '%>': 'same kind',
}
const MIRRORED: Partial<Record<Comparison, Comparison>> = { above: 'below', below: 'above' }
export function inList(
  context: Context,
  name: string,
  left: unknown,
  right: unknown,
  scope: Scope,
  index: number,
): void {
  const comparison = name === '=' ? 'equal' : 'other'
  for (const [i, item] of itemsOf(right).entries()) compare(context, comparison, left, item, scope, index + i)
}

/** `column = any ($1)`, `column = any (array[$1, $2])`, `$1 = any (column)`. */
export function inArray(
  context: Context,
  name: string,
  left: unknown,
  right: unknown,
  scope: Scope,
  index: number,
): void {
  const comparison = COMPARISONS[name] ?? 'same kind'
  const column = sourceOf(left, scope)
  const parameter = parameterOf(right)
  if (parameter !== null) {
    const list: Source = { kind: 'parameters', items: [{ number: parameter, index: 0, array: true }] }
    if (column?.kind === 'column') match(context, comparison, column, list, index)
  } else if (ofKind(uncast(right).node, 'A_ArrayExpr') !== null) {
    const list = ofList(uncast(right).node, scope)
    if (column?.kind === 'column' && list?.kind === 'parameters') match(context, comparison, column, list, index)
  } else {
    const elements = elementsOf(sourceOf(right, scope))
    if (elements?.kind === 'column' && column?.kind === 'parameters')
      match(context, comparison, elements, column, index)
  }
}

/** Pairs of rows are compared column by column, as in keyset pagination. */
export function compare(
  context: Context,
  comparison: Comparison,
  left: unknown,
  right: unknown,
  scope: Scope,
  index: number,
): void {
  if (ofKind(left, 'RowExpr') !== null && ofKind(right, 'RowExpr') !== null) {
    const rights = itemsOf(right)
    for (const [i, item] of itemsOf(left).entries()) compare(context, comparison, item, rights[i], scope, index)
    return
  }
  compareSources(context, comparison, sourceOf(left, scope), sourceOf(right, scope), index)
}

export function compareSources(
  context: Context,
  comparison: Comparison,
  left: Source,
  right: Source,
  index: number,
): void {
  if (left?.kind === 'column' && right?.kind === 'parameters') match(context, comparison, left, right, index)
  else if (left?.kind === 'parameters' && right?.kind === 'column')
    match(context, MIRRORED[comparison] ?? comparison, right, left, index)
  else if (left?.kind === 'column' && right?.kind === 'column' && comparison === 'equal') {
    const plain = [left, right].every(({ wraps, path }) => wraps.length + path.length === 0)
    if (plain && left.at !== right.at) context.found.links.push({ left, right })
  }
}

function match(
  context: Context,
  comparison: Comparison,
  source: ColumnSource,
  parameters: ParameterSource,
  index: number,
): void {
  for (const { number, index: row, array } of parameters.items)
    context.found.add(number, { kind: 'match', comparison, source, index: index + row, array })
}

/** Parameters beside a column: coalesce(column, $1). */
export function alike(context: Context, nodes: readonly unknown[], scope: Scope, index: number): void {
  const sources = nodes.map((node) => sourceOf(node, scope))
  const column = sources.find((source) => source?.kind === 'column')
  for (const source of sources)
    if (column?.kind === 'column' && source?.kind === 'parameters') match(context, 'same kind', column, source, index)
}

export const isArray = (source: Source): boolean => source?.kind === 'column' && source.column.type.category === 'A'

export const asArrays = (source: ParameterSource): ParameterSource => ({
  kind: 'parameters',
  items: source.items.map((item) => ({ ...item, array: true })),
})
