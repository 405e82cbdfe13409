/** Which column or parameter an expression gives, below casts and simple functions. Pure. */
import { columnSource, type Scope, type Source, type Wrap } from './relations.js'
import {
  itemsOf,
  lastName,
  listOf,
  numberOf,
  ofKind,
  parameterOf,
  stringsOf,
  tagged,
  textOf,
  uncast,
  type Fields,
} from './tree.js'

/** Functions of one column whose value can be worked out here. Others change it in ways that only the server knows. */
const WRAPS: Readonly<Record<string, Wrap | null>> = {
  lower: 'lower',
  upper: 'upper',
  date: 'day',
  date_trunc: 'day',
  btrim: null,
  ltrim: null,
  rtrim: null,
  unaccent: null,
  timezone: null,
}

/** The column is the function's last argument in these. */
const LAST_ARGUMENT = new Set(['date_trunc', 'timezone'])

export function sourceOf(node: unknown, scope: Scope): Source {
  const { node: inner, type } = uncast(node)
  const source = uncastSource(inner, scope)
  if (source?.kind !== 'column' || type !== 'date' || source.column.type.base === 'date') return source
  return wrapped(source, 'day')
}

function uncastSource(node: unknown, scope: Scope): Source {
  const found = tagged(node)
  switch (found?.kind) {
    case 'ParamRef':
      return { kind: 'parameters', items: [{ number: numberOf(found.fields, 'number'), index: 0, array: false }] }
    case 'ColumnRef': {
      const fields = listOf(found.fields, 'fields')
      const names = stringsOf(fields)
      return names.length === fields.length ? scope.column(names) : null
    }
    case 'FuncCall':
      return ofFunction(found.fields, scope)
    case 'CoalesceExpr':
      return first(listOf(found.fields, 'args'), scope)
    case 'A_Expr':
      return ofJson(found.fields, scope)
    case 'A_ArrayExpr':
      return ofList(node, scope)
    default:
      return null
  }
}

function ofFunction(fields: Fields, scope: Scope): Source {
  const name = lastName(listOf(fields, 'funcname'))
  const args = listOf(fields, 'args')
  const wrap = WRAPS[name]
  if (wrap === undefined) return null
  const source = sourceOf(LAST_ARGUMENT.has(name) ? args.at(-1) : args[0], scope)
  if (source === null) return null
  return wrap === null ? source : wrapped(source, wrap)
}

const wrapped = (source: NonNullable<Source>, wrap: Wrap): Source =>
  source.kind === 'column' ? { ...source, wraps: [...source.wraps, wrap] } : source

function first(nodes: readonly unknown[], scope: Scope): Source {
  for (const node of nodes) {
    const source = sourceOf(node, scope)
    if (source?.kind === 'column') return source
  }
  return null
}

/** `data -> 'a' ->> $1` */
function ofJson(fields: Fields, scope: Scope): Source {
  const operator = lastName(listOf(fields, 'name'))
  if (operator !== '->' && operator !== '->>') return null
  const source = sourceOf(fields['lexpr'], scope)
  if (source?.kind !== 'column' || source.wraps.length > 0) return null
  const parameter = parameterOf(fields['rexpr'])
  if (parameter !== null) return { ...source, path: [...source.path, { parameter }] }
  const constant = ofKind(uncast(fields['rexpr']).node, 'A_Const')
  const text = constant?.['sval'] as Fields | undefined
  const position = constant?.['ival'] as Fields | undefined
  if (text === undefined && position === undefined) return null
  const key = text === undefined ? String(numberOf(position ?? null, 'ival')) : textOf(text, 'sval')
  return { ...source, path: [...source.path, { key }] }
}

/** Parameters in a list, each of another row; null when something else is in it. */
export function ofList(node: unknown, scope: Scope): Source {
  const items = itemsOf(node).flatMap((item, index) => {
    const source = sourceOf(item, scope)
    return source?.kind === 'parameters' ? source.items.map((found) => ({ ...found, index: found.index + index })) : []
  })
  return items.length === 0 ? null : { kind: 'parameters', items }
}

/** The values in an array column. */
export const elementsOf = (source: Source): Source =>
  source?.kind === 'column' ? { ...columnSource(source.at, source.column), wraps: ['element'] } : source
