/**
 * Evaluates a check's expression for a row as far as it is understood: true, false, null or UNKNOWN. SQL's three-valued
 * logic with a fourth value, which AND and OR swallow where the other side decides.
 */
import type { Expression } from './expression.js'
import { fromLike, toJavaScript } from './patterns.js'
import { UNKNOWN, readScalar, type Scalar } from './scalars.js'
import type { Row } from './types.js'

/** A row that lacks a column of the expression makes what depends on it UNKNOWN. */
export function evaluate(expression: Expression, row: Row): Scalar {
  switch (expression.kind) {
    case 'constant':
      return expression.value
    case 'column': {
      const text = row[expression.name]
      return text === undefined ? UNKNOWN : text === null ? null : readScalar(text, expression.family)
    }
    case 'and':
    case 'or':
      return connect(expression.items, expression.kind === 'or', row)
    case 'not': {
      const value = evaluate(expression.item, row)
      return typeof value === 'boolean' ? !value : value
    }
    case 'is null':
    case 'is not null': {
      const value = evaluate(expression.item, row)
      return value === UNKNOWN ? UNKNOWN : (value === null) === (expression.kind === 'is null')
    }
    case 'cast':
      return castTo(evaluate(expression.item, row), expression)
    case 'operator':
      return operate(expression.name, evaluate(expression.left, row), evaluate(expression.right, row), expression)
    case 'any':
    case 'all':
      return quantify(expression, row)
    case 'list':
      return listOf(expression.items.map((item) => evaluate(item, row)))
    case 'call':
      return callFunction(expression.name, expression.items, row)
    case 'case':
      for (const { condition, result } of expression.when) {
        const value = evaluate(condition, row)
        if (value === UNKNOWN) return UNKNOWN
        if (value === true) return evaluate(result, row)
      }
      return evaluate(expression.otherwise, row)
    case 'unknown':
      return UNKNOWN
  }
}

/** `decides` is the value of one item that decides the whole: false for AND, true for OR. */
function connect(items: readonly Expression[], decides: boolean, row: Row): Scalar {
  let result: Scalar = !decides
  for (const item of items) {
    const value = evaluate(item, row)
    if (value === decides) return decides
    if (value === UNKNOWN) result = UNKNOWN
    else if (value === null && result !== UNKNOWN) result = null
  }
  return result
}

function castTo(value: Scalar, { family, item }: Expression & { kind: 'cast' }): Scalar {
  if (value === null || value === UNKNOWN || family === item.family) return value
  if (typeof value === 'boolean')
    return family === 'number' ? Number(value) : family === 'text' ? String(value) : UNKNOWN
  if (typeof value === 'string') return readScalar(value, family)
  if (typeof value === 'number') {
    if (family === 'time' && item.family === 'date') return value
    if (family === 'date' && item.family === 'time') return Math.floor(value / DAY_MS) * DAY_MS
    return family === 'text' && item.family === 'number' ? String(value) : UNKNOWN
  }
  return family === 'array' ? value : UNKNOWN
}

const DAY_MS = 86_400_000

const listOf = (items: readonly Scalar[]): Scalar => {
  const texts: (string | null)[] = []
  for (const item of items) {
    if (item === UNKNOWN || (typeof item === 'object' && item !== null)) return UNKNOWN
    texts.push(item === null ? null : String(item))
  }
  return texts
}

function quantify(expression: Expression & { kind: 'any' | 'all' }, row: Row): Scalar {
  const left = evaluate(expression.left, row)
  const right = evaluate(expression.right, row)
  if (right === null) return null
  if (!Array.isArray(right)) return UNKNOWN
  const decides = expression.kind === 'any'
  let result: Scalar = !decides
  for (const item of right as readonly (string | null)[]) {
    const other = item === null ? null : readScalar(item, expression.left.family)
    const value = operate(expression.name, left, other, expression)
    if (value === decides) return decides
    if (value === UNKNOWN) result = UNKNOWN
    else if (value === null && result !== UNKNOWN) result = null
  }
  return result
}

type Pair = { left: Expression; right: Expression }

function operate(name: string, a: Scalar, b: Scalar, { left, right }: Pair): Scalar {
  if (a === UNKNOWN || b === UNKNOWN) return UNKNOWN
  if (name === 'is distinct' || name === 'is not distinct') {
    const same = a === null || b === null ? a === b : equal(a, b)
    return same === UNKNOWN ? UNKNOWN : same === (name === 'is not distinct')
  }
  if (a === null || b === null) return null
  switch (name) {
    case '=':
      return equal(a, b)
    case '<>': {
      const same = equal(a, b)
      return same === UNKNOWN ? UNKNOWN : !same
    }
    case '<':
    case '<=':
    case '>':
    case '>=':
      return typeof a === 'number' && typeof b === 'number' ? ordered(name, a, b) : UNKNOWN
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return calculate(name, a, b, left, right)
    case '||':
      return typeof a === 'string' && typeof b === 'string' && left.family === 'text' ? a + b : UNKNOWN
    default:
      return matches(name, a, b)
  }
}

function equal(a: Scalar, b: Scalar): boolean | typeof UNKNOWN {
  if (Array.isArray(a) || Array.isArray(b))
    return Array.isArray(a) && Array.isArray(b) ? JSON.stringify(a) === JSON.stringify(b) : UNKNOWN
  return typeof a === typeof b ? a === b : UNKNOWN
}

const ordered = (name: string, a: number, b: number): boolean =>
  name === '<' ? a < b : name === '<=' ? a <= b : name === '>' ? a > b : a >= b

function calculate(name: string, a: Scalar, b: Scalar, left: Expression, right: Expression): Scalar {
  if (typeof a !== 'number' || typeof b !== 'number') return UNKNOWN
  // A day is the unit between dates, and between a date and a number.
  const days = left.family === 'date' && right.family === 'number' ? DAY_MS : 1
  if (name === '+') return a + b * days
  if (name === '-') return left.family === 'date' && right.family === 'date' ? (a - b) / DAY_MS : a - b * days
  if (name === '*') return a * b
  if (b === 0) return UNKNOWN
  if (name === '%') return a % b
  return Number.isInteger(a) && Number.isInteger(b) && a % b !== 0 ? UNKNOWN : a / b
}

const expressions = new Map<string, RegExp | null>()

function matches(name: string, a: Scalar, b: Scalar): Scalar {
  if (typeof a !== 'string' || typeof b !== 'string') return UNKNOWN
  const operator = /^(!?)(~~|~)(\*?)$/.exec(name)
  if (!operator) return UNKNOWN
  const key = `${operator[2] ?? ''}${operator[3] ?? ''}${b}`
  let compiled = expressions.get(key)
  if (compiled === undefined) {
    const source = operator[2] === '~~' ? fromLike(b) : toJavaScript(b)
    compiled = source === null ? null : new RegExp(source, operator[3] === '*' ? 'is' : 's')
    if (expressions.size < 10_000) expressions.set(key, compiled)
  }
  return compiled === null ? UNKNOWN : compiled.test(a) !== (operator[1] === '!')
}

type Call = (values: readonly Scalar[], items: readonly Expression[]) => Scalar

const onText =
  (of: (text: string) => Scalar): Call =>
  ([value], [item]) =>
    value === null ? null : typeof value === 'string' && item?.family !== 'range' ? of(value) : UNKNOWN
const onNumber =
  (of: (n: number) => number): Call =>
  ([value]) =>
    value === null ? null : typeof value === 'number' ? of(value) : UNKNOWN
const count =
  (nulls: boolean): Call =>
  (values) =>
    values.includes(UNKNOWN) ? UNKNOWN : values.filter((value) => (value === null) === nulls).length
const size: Call = ([value], [item]) => {
  if (value === null) return null
  if (typeof value !== 'string') return UNKNOWN
  // A bytea's text is two digits a byte.
  return item?.family === 'other'
    ? value.startsWith('\\x')
      ? (value.length - 2) / 2
      : UNKNOWN
    : Array.from(value).length
}
const now: Call = () => Date.now()

const CALLS: Readonly<Record<string, Call>> = {
  length: size,
  char_length: size,
  character_length: size,
  octet_length: (values, items) =>
    items[0]?.family === 'other' ? size(values, items) : onText((text) => Buffer.byteLength(text))(values, items),
  lower: onText((text) => text.toLowerCase()),
  upper: onText((text) => text.toUpperCase()),
  isempty: ([value]) => (value === null ? null : typeof value === 'string' ? value === 'empty' : UNKNOWN),
  jsonb_typeof: onText(jsonType),
  json_typeof: onText(jsonType),
  cardinality: ([value]) => (value === null ? null : Array.isArray(value) ? value.length : UNKNOWN),
  array_length: ([value]) => (value === null ? null : Array.isArray(value) ? value.length || null : UNKNOWN),
  abs: onNumber(Math.abs),
  floor: onNumber(Math.floor),
  ceil: onNumber(Math.ceil),
  round: (values, items) => (values.length > 1 ? UNKNOWN : onNumber(Math.round)(values, items)),
  num_nonnulls: count(false),
  num_nulls: count(true),
  coalesce: (values) => {
    for (const value of values) if (value !== null) return value
    return null
  },
  nullif: ([a = null, b = null]) => {
    const same = a === null || b === null ? false : equal(a, b)
    return same === UNKNOWN ? UNKNOWN : same ? null : a
  },
  greatest: (values) => extreme(values, Math.max),
  least: (values) => extreme(values, Math.min),
  strpos: ([a, b]) => (typeof a === 'string' && typeof b === 'string' ? a.indexOf(b) + 1 : UNKNOWN),
  position: ([a, b]) => (typeof a === 'string' && typeof b === 'string' ? a.indexOf(b) + 1 : UNKNOWN),
  starts_with: ([a, b]) => (typeof a === 'string' && typeof b === 'string' ? a.startsWith(b) : UNKNOWN),
  now,
  transaction_timestamp: now,
  statement_timestamp: now,
  clock_timestamp: now,
  current_date: () => Math.floor(Date.now() / DAY_MS) * DAY_MS,
}
// With a second argument these take other characters off.
for (const [name, of] of Object.entries({
  btrim: (text: string) => text.replace(/^ +| +$/g, ''),
  trim: (text: string) => text.replace(/^ +| +$/g, ''),
  ltrim: (text: string) => text.replace(/^ +/, ''),
  rtrim: (text: string) => text.replace(/ +$/, ''),
}))
  Object.assign(CALLS, {
    [name]: ((values, items) => (values.length > 1 ? UNKNOWN : onText(of)(values, items))) satisfies Call,
  })

function callFunction(name: string, items: readonly Expression[], row: Row): Scalar {
  const call = Object.hasOwn(CALLS, name) ? CALLS[name] : undefined
  if (!call) return UNKNOWN
  const values = items.map((item) => evaluate(item, row))
  return values.includes(UNKNOWN) ? UNKNOWN : call(values, items)
}

function jsonType(text: string): Scalar {
  try {
    const value: unknown = JSON.parse(text)
    return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
  } catch {
    return UNKNOWN
  }
}

function extreme(values: readonly Scalar[], of: (...numbers: number[]) => number): Scalar {
  const numbers = values.filter((value) => value !== null)
  return numbers.every((value) => typeof value === 'number') ? (numbers.length > 0 ? of(...numbers) : null) : UNKNOWN
}
