/** A check's expression in few kinds of nodes, read with PostgreSQL's own parser. What is not known is `unknown`. */
import { parseSql } from '../sql/parser.js'
import type { TypeShape } from './types.js'
import { isNumber } from './make-number.js'
import { isText } from './make-text.js'

/** What a value is compared as: times as milliseconds since 1970, intervals as milliseconds, texts letter by letter. */
export type Family =
  'number' | 'text' | 'boolean' | 'date' | 'time' | 'clock' | 'interval' | 'array' | 'json' | 'range' | 'other'

export type Expression =
  | { kind: 'constant'; value: string | number | boolean | null; family: Family }
  | { kind: 'column'; name: string; family: Family }
  | { kind: 'operator'; name: string; left: Expression; right: Expression; family: Family }
  | { kind: 'any' | 'all'; name: string; left: Expression; right: Expression; family: Family }
  | { kind: 'list'; items: Expression[]; family: Family }
  | { kind: 'and' | 'or'; items: Expression[]; family: Family }
  | { kind: 'not'; item: Expression; family: Family }
  | { kind: 'is null' | 'is not null'; item: Expression; family: Family }
  | { kind: 'call'; name: string; items: Expression[]; family: Family }
  | { kind: 'cast'; item: Expression; family: Family }
  | { kind: 'case'; when: { condition: Expression; result: Expression }[]; otherwise: Expression; family: Family }
  | { kind: 'unknown'; family: Family }

const UNKNOWN: Expression = { kind: 'unknown', family: 'other' }
const TRUE: Expression = { kind: 'constant', value: true, family: 'boolean' }

export function familyOf(type: TypeShape): Family {
  if (type.element) return 'array'
  if (type.kind === 'r' || type.kind === 'm') return 'range'
  if (type.kind === 'e') return 'text'
  return familyOfName(type.base)
}

function familyOfName(name: string): Family {
  if (isNumber(name)) return 'number'
  if (isText(name) || name === 'uuid') return 'text'
  if (name === 'bool') return 'boolean'
  if (name === 'date' || name === 'interval') return name
  if (name === 'timestamp' || name === 'timestamptz') return 'time'
  if (name === 'time') return 'clock'
  if (name === 'json' || name === 'jsonb') return 'json'
  return 'other'
}

/** Gives the column that a name in an expression means; null for none. */
export type FindColumn = (name: string) => { name: string; family: Family } | null

/** Reads an expression as pg_get_expr writes it. */
export function readExpression(sql: string, findColumn: FindColumn): Expression {
  try {
    const node: unknown = parseSql(`select ${sql}`)[0]?.node
    const target = field(field(field(node, 'SelectStmt'), 'targetList'), 0)
    return convert(field(field(target, 'ResTarget'), 'val'), findColumn)
  } catch {
    return UNKNOWN
  }
}

const field = (value: unknown, name: string | number): unknown =>
  typeof value === 'object' && value !== null ? (value as Record<string | number, unknown>)[name] : undefined
const list = (value: unknown): unknown[] => (Array.isArray(value) ? (value as unknown[]) : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const lastName = (names: unknown): string => {
  const name = list(names).at(-1)
  return text(field(field(name, 'String'), 'sval'))
}

function convert(node: unknown, findColumn: FindColumn): Expression {
  const to = (value: unknown): Expression => convert(value, findColumn)
  const [kind, content] = Object.entries((node ?? {}) as Record<string, unknown>)[0] ?? ['', undefined]
  const at = (name: string): unknown => field(content, name)
  switch (kind) {
    case 'A_Const':
      return constant(content)
    case 'ColumnRef': {
      const column = findColumn(lastName(at('fields')))
      return column === null ? UNKNOWN : { kind: 'column', ...column }
    }
    case 'TypeCast':
      return cast(to(at('arg')), at('typeName'))
    case 'CollateClause':
      return to(at('arg'))
    case 'BoolExpr': {
      const items = list(at('args')).map(to)
      if (at('boolop') === 'NOT_EXPR') return { kind: 'not', item: items[0] ?? UNKNOWN, family: 'boolean' }
      return { kind: at('boolop') === 'AND_EXPR' ? 'and' : 'or', items, family: 'boolean' }
    }
    case 'NullTest': {
      const negated = at('nulltesttype') === 'IS_NOT_NULL'
      return { kind: negated ? 'is not null' : 'is null', item: to(at('arg')), family: 'boolean' }
    }
    case 'BooleanTest':
      return booleanTest(to(at('arg')), text(at('booltesttype')))
    case 'A_ArrayExpr':
      return { kind: 'list', items: list(at('elements')).map(to), family: 'array' }
    case 'A_Expr':
      return operator(text(at('kind')), lastName(at('name')), at('lexpr'), at('rexpr'), to)
    case 'FuncCall':
      return call(lastName(at('funcname')), list(at('args')).map(to))
    case 'CoalesceExpr':
      return call('coalesce', list(at('args')).map(to))
    case 'MinMaxExpr':
      return call(at('op') === 'IS_GREATEST' ? 'greatest' : 'least', list(at('args')).map(to))
    case 'SQLValueFunction':
      return call(
        text(at('op')) === 'SVFOP_CURRENT_DATE' ? 'current_date' : /TIMESTAMP/.test(text(at('op'))) ? 'now' : '',
        [],
      )
    case 'CaseExpr':
      return caseOf(content, to)
    default:
      return UNKNOWN
  }
}

function constant(content: unknown): Expression {
  if (field(content, 'isnull') === true) return { kind: 'constant', value: null, family: 'other' }
  for (const name of ['ival', 'fval', 'sval', 'boolval'] as const) {
    const inner = field(content, name)
    if (inner === undefined) continue
    const value = field(inner, name)
    // What is zero, empty or false is left out of the tree.
    if (name === 'ival') return { kind: 'constant', value: Number(value ?? 0), family: 'number' }
    if (name === 'fval') return { kind: 'constant', value: Number(text(value)), family: 'number' }
    if (name === 'boolval') return { kind: 'constant', value: value === true, family: 'boolean' }
    return { kind: 'constant', value: text(value), family: 'text' }
  }
  return UNKNOWN
}

function cast(item: Expression, typeName: unknown): Expression {
  const isArray = list(field(typeName, 'arrayBounds')).length > 0
  const name = lastName(field(typeName, 'names'))
  // A type that is not built in may be an enum or a domain: what it holds does not change by being called so.
  const known = isArray ? 'array' : familyOfName(name)
  return { kind: 'cast', item, family: known === 'other' ? item.family : known }
}

function booleanTest(item: Expression, test: string): Expression {
  const compared = (name: string, value: boolean): Expression => ({
    kind: 'operator',
    name,
    left: item,
    right: { kind: 'constant', value, family: 'boolean' },
    family: 'boolean',
  })
  if (test === 'IS_TRUE') return compared('is not distinct', true)
  if (test === 'IS_FALSE') return compared('is not distinct', false)
  if (test === 'IS_NOT_TRUE') return compared('is distinct', true)
  if (test === 'IS_NOT_FALSE') return compared('is distinct', false)
  return { kind: test === 'IS_UNKNOWN' ? 'is null' : 'is not null', item, family: 'boolean' }
}

function operator(
  kind: string,
  name: string,
  left: unknown,
  right: unknown,
  to: (n: unknown) => Expression,
): Expression {
  const a = to(left)
  switch (kind) {
    case 'AEXPR_OP_ANY':
    case 'AEXPR_OP_ALL':
      return { kind: kind === 'AEXPR_OP_ANY' ? 'any' : 'all', name, left: a, right: to(right), family: 'boolean' }
    case 'AEXPR_IN': {
      const items = list(field(field(right, 'List'), 'items') ?? right).map(to)
      return {
        kind: name === '=' ? 'any' : 'all',
        name,
        left: a,
        right: { kind: 'list', items, family: 'array' },
        family: 'boolean',
      }
    }
    case 'AEXPR_BETWEEN':
    case 'AEXPR_NOT_BETWEEN': {
      const [low, high] = list(field(field(right, 'List'), 'items') ?? right).map(to)
      if (!low || !high) return UNKNOWN
      const items: Expression[] = [
        { kind: 'operator', name: '>=', left: a, right: low, family: 'boolean' },
        { kind: 'operator', name: '<=', left: a, right: high, family: 'boolean' },
      ]
      const between: Expression = { kind: 'and', items, family: 'boolean' }
      return kind === 'AEXPR_BETWEEN' ? between : { kind: 'not', item: between, family: 'boolean' }
    }
    case 'AEXPR_DISTINCT':
    case 'AEXPR_NOT_DISTINCT': {
      const word = kind === 'AEXPR_DISTINCT' ? 'is distinct' : 'is not distinct'
      return { kind: 'operator', name: word, left: a, right: to(right), family: 'boolean' }
    }
    case 'AEXPR_NULLIF':
      return call('nullif', [a, to(right)])
    case 'AEXPR_OP':
    case 'AEXPR_LIKE':
    case 'AEXPR_ILIKE': {
      const b = to(right)
      if (left === undefined) {
        if (name !== '-') return UNKNOWN
        return {
          kind: 'operator',
          name: '-',
          left: { kind: 'constant', value: 0, family: 'number' },
          right: b,
          family: b.family,
        }
      }
      return { kind: 'operator', name, left: a, right: b, family: resultFamily(name, a.family, b.family) }
    }
    default:
      return UNKNOWN
  }
}

function resultFamily(name: string, a: Family, b: Family): Family {
  if (name === '||') return a === 'json' || a === 'array' ? a : 'text'
  if (name === '->>' || name === '#>>') return 'text'
  if (name === '->') return 'json'
  if (!/^[-+*/%]$/.test(name)) return 'boolean'
  if (name === '-' && a === 'date' && b === 'date') return 'number'
  if (name === '-' && a === b && (a === 'time' || a === 'clock')) return 'interval'
  if (a === 'date' && b === 'interval') return 'time'
  if (a === 'interval' && (b === 'date' || b === 'time')) return 'time'
  return a === 'number' && b !== 'number' ? b : a
}

const RESULTS: Readonly<Record<string, Family>> = {
  now: 'time', transaction_timestamp: 'time', statement_timestamp: 'time', clock_timestamp: 'time', current_date: 'date',
  length: 'number', char_length: 'number', character_length: 'number', octet_length: 'number', cardinality: 'number',
  array_length: 'number', num_nonnulls: 'number', num_nulls: 'number', abs: 'number', mod: 'number', floor: 'number',
  ceil: 'number', round: 'number', position: 'number', strpos: 'number', jsonb_array_length: 'number',
  lower: 'text', upper: 'text', btrim: 'text', ltrim: 'text', rtrim: 'text', trim: 'text', jsonb_typeof: 'text',
  json_typeof: 'text', substring: 'text', left: 'text', right: 'text', isempty: 'boolean', starts_with: 'boolean',
} // prettier-ignore

function call(name: string, items: Expression[]): Expression {
  // Rows are made for a hash partition as they come: one of the partitions takes them.
  if (name === 'satisfies_hash_partition') return TRUE
  const family = RESULTS[name] ?? items[0]?.family ?? 'other'
  return { kind: 'call', name, items, family }
}

function caseOf(content: unknown, to: (n: unknown) => Expression): Expression {
  const tested = field(content, 'arg')
  const when = list(field(content, 'args')).map((item) => {
    const one = field(item, 'CaseWhen')
    const condition = to(field(one, 'expr'))
    const whole: Expression =
      tested === undefined
        ? condition
        : { kind: 'operator', name: '=', left: to(tested), right: condition, family: 'boolean' }
    return { condition: whole, result: to(field(one, 'result')) }
  })
  const other = field(content, 'defresult')
  const otherwise: Expression = other === undefined ? { kind: 'constant', value: null, family: 'other' } : to(other)
  return { kind: 'case', when, otherwise, family: when[0]?.result.family ?? 'other' }
}
