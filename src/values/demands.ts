/**
 * What a row must be for an expression to hold: bounds, lists, lengths and patterns for single columns, and order between
 * two. Where there is a choice (OR, how many may be NULL) one way is drawn; who finds it impossible draws again.
 */
import { evaluate } from './evaluate.js'
import type { Expression, Family } from './expression.js'
import { FUTURE_MS, EPOCH_MS, dateText, timestampText } from './make-time.js'
import { counted, howMany, jsonTyped, measure, measured } from './measures.js'
import { fromLike, toJavaScript } from './patterns.js'
import type { Random } from './random.js'
import { UNKNOWN, type Scalar } from './scalars.js'
import { ANYTHING, both, type Want } from './want.js'

/** `left` + `offset` stands in the relation to `right`. Offsets are numbers or milliseconds. */
export interface Order {
  left: string
  relation: '<' | '<=' | '=' | '<>' | '>' | '>='
  right: string
  offset: number
}

export class Demands {
  readonly wants = new Map<string, Want>()
  readonly orders: Order[] = []
  /** No row is both. */
  contradiction = false

  add(column: string, want: Partial<Want>): void {
    const merged = both(this.wants.get(column) ?? ANYTHING, want)
    if (merged) this.wants.set(column, merged)
    else this.contradiction = true
  }
}

/** Collects what makes the expression true (or false). What is not understood demands nothing. */
export function demand(expression: Expression, truth: boolean, into: Demands, random: Random): void {
  switch (expression.kind) {
    case 'and':
    case 'or': {
      if ((expression.kind === 'and') === truth) for (const item of expression.items) demand(item, truth, into, random)
      else demand(random.pick(expression.items), truth, into, random)
      return
    }
    case 'not': {
      demand(expression.item, !truth, into, random)
      return
    }
    case 'is null':
    case 'is not null': {
      const column = columnIn(expression.item)
      const isNull = (expression.kind === 'is null') === truth
      if (column !== null) into.add(column, { nullness: isNull ? 'null' : 'not null' })
      return
    }
    case 'column':
      if (expression.family === 'boolean') into.add(expression.name, { oneOf: [String(truth)] })
      return
    case 'cast': {
      demand(expression.item, truth, into, random)
      return
    }
    case 'any':
    case 'all': {
      oneOfList(expression, truth, into)
      return
    }
    case 'operator': {
      compare(expression, truth, into, random)
      return
    }
    case 'call':
      if (expression.name === 'coalesce' && expression.items[0]) demand(expression.items[0], truth, into, random)
      return
    case 'case': {
      const ways = expression.when.filter(({ result }) => evaluate(result, {}) !== !truth)
      const way = ways.length > 0 ? random.pick(ways) : null
      if (way) {
        demand(way.condition, true, into, random)
        demand(way.result, truth, into, random)
      } else {
        for (const { condition } of expression.when) demand(condition, false, into, random)
        demand(expression.otherwise, truth, into, random)
      }
      return
    }
    default:
      return
  }
}

/** The column that an expression is about, whatever is done to it: casts, coalesce, lower(). */
export function columnIn(expression: Expression): string | null {
  if (expression.kind === 'column') return expression.name
  if (expression.kind === 'cast') return columnIn(expression.item)
  if (
    expression.kind === 'call' &&
    expression.items[0] &&
    /^(coalesce|lower|upper|b?trim|[lr]trim|nullif)$/.test(expression.name)
  )
    return columnIn(expression.items[0])
  return null
}

function oneOfList(expression: Expression & { kind: 'any' | 'all' }, truth: boolean, into: Demands): void {
  const list = evaluate(expression.right, {})
  const column = columnIn(expression.left)
  if (!Array.isArray(list)) {
    // `'x' = ANY (tags)`: the array is the column.
    const array = columnIn(expression.right)
    const value = evaluate(expression.left, {})
    if (array !== null && truth && expression.kind === 'any' && expression.name === '=' && typeof value === 'string')
      into.add(array, { oneOf: [`{${JSON.stringify(value)}}`] })
    return
  }
  const values = (list as readonly (string | null)[]).filter((value) => value !== null)
  if (measure(expression.left)) {
    if (expression.kind === 'any' && expression.name === '=' && truth)
      measured(expression.left, '=', Number(values[0]), into)
    return
  }
  if (column === null) return
  const within =
    expression.kind === 'any' && expression.name === '='
      ? truth
      : expression.kind === 'all' && expression.name === '<>'
        ? !truth
        : null
  if (within === true) into.add(column, { oneOf: values })
  else if (within === false) into.add(column, { noneOf: values })
  else if (expression.name.startsWith('~') && truth && expression.kind === 'any' && values[0] !== undefined)
    pattern(column, expression.name, values[0], into)
}

const FLIPPED = { '<': '>', '<=': '>=', '>': '<', '>=': '<=', '=': '=', '<>': '<>' } as const
const NEGATED = { '<': '>=', '<=': '>', '>': '<=', '>=': '<', '=': '<>', '<>': '=' } as const
export type Relation = Order['relation']
const isRelation = (name: string): name is Relation => Object.hasOwn(FLIPPED, name)

function compare(expression: Expression & { kind: 'operator' }, truth: boolean, into: Demands, random: Random): void {
  const { left, right } = expression
  const name = expression.name === 'is distinct' ? '<>' : expression.name === 'is not distinct' ? '=' : expression.name
  if (!isRelation(name)) {
    const value = evaluate(right, {})
    const column = columnIn(left)
    if (column !== null && typeof value === 'string' && name.startsWith('~') && truth)
      pattern(column, name, value, into)
    return
  }
  const relation = truth ? name : NEGATED[name]
  const value = constantOf(right, relation)
  const flippedValue = value === UNKNOWN ? constantOf(left, FLIPPED[relation]) : UNKNOWN
  if (value !== UNKNOWN) {
    toConstant(left, relation, value, right.family, into, random)
    return
  }
  if (flippedValue !== UNKNOWN) {
    toConstant(right, FLIPPED[relation], flippedValue, left.family, into, random)
    return
  }
  if (left.family === 'boolean' && right.family === 'boolean' && (relation === '=' || relation === '<>')) {
    // Two conditions that go together, or never do.
    const first = random.int(0, 1) === 1
    demand(left, first, into, random)
    demand(right, relation === '=' ? first : !first, into, random)
    return
  }
  const [a, b] = [columnIn(left), columnIn(right)]
  if (a !== null && a === b) {
    if (relation === '=') into.add(a, { letters: lettersOf(left) ?? lettersOf(right) })
    return
  }
  const [x, y] = [shifted(left), shifted(right)]
  if (x && y && x.column !== y.column)
    into.orders.push({ left: x.column, relation, right: y.column, offset: x.offset - y.offset })
}

/** What `lower(x)` in `x = lower(x)` says of x. */
function lettersOf(expression: Expression): 'lower' | 'upper' | null {
  if (expression.kind === 'cast') return lettersOf(expression.item)
  return expression.kind === 'call' && (expression.name === 'lower' || expression.name === 'upper')
    ? expression.name
    : null
}

/** What does not depend on the row. Now is early for who must be after it, and late for who must be before. */
function constantOf(expression: Expression, relation: Relation): Scalar {
  if (dependsOnNow(expression)) {
    const later = relation === '>' || relation === '>='
    const shift = evaluate(expression, {})
    return typeof shift === 'number' ? shift - Date.now() + (later ? FUTURE_MS : EPOCH_MS) : UNKNOWN
  }
  return evaluate(expression, {})
}

function dependsOnNow(expression: Expression): boolean {
  switch (expression.kind) {
    case 'call':
      return expression.items.length === 0 && (expression.family === 'time' || expression.family === 'date')
    case 'operator':
      return dependsOnNow(expression.left) || dependsOnNow(expression.right)
    case 'cast':
      return dependsOnNow(expression.item)
    default:
      return false
  }
}

function toConstant(
  side: Expression,
  relation: Relation,
  value: Scalar,
  family: Family,
  into: Demands,
  random: Random,
): void {
  if (value === null) return
  if (typeof value === 'boolean' && (relation === '=' || relation === '<>')) {
    demand(side, (relation === '=') === value, into, random)
    return
  }
  if (typeof value === 'number' && (measure(side) || counted(side))) {
    if (measure(side)) measured(side, relation, value, into)
    else howMany(counted(side) ?? [], relation, value, into, random)
    return
  }
  const typed = jsonTyped(side)
  if (typed !== null) {
    if (relation === '=' && typeof value === 'string') into.add(typed, { json: value })
    return
  }
  if (typeof value === 'number') {
    const moved = shifted(side)
    if (moved) into.add(moved.column, bounds(relation, value - moved.offset, family))
    return
  }
  const column = columnIn(side)
  if (column === null || typeof value !== 'string') return
  if (relation === '=') into.add(column, { oneOf: [value] })
  // Not empty is the usual reason; blanks alone are no text either.
  else if (relation === '<>') into.add(column, value === '' ? { minLength: 1 } : { noneOf: [value] })
}

function bounds(relation: Relation, value: number, family: Family): Partial<Want> {
  if (relation === '=')
    return { oneOf: [family === 'number' ? String(value) : family === 'date' ? dateText(value) : timestampText(value)] }
  if (relation === '<>') return { noneOf: [String(value)] }
  if (relation === '<' || relation === '<=') return { max: value, maxOpen: relation === '<' }
  return { min: value, minOpen: relation === '>' }
}

/** A column with a constant added to or taken from it. */
function shifted(expression: Expression): { column: string; offset: number } | null {
  if (expression.kind === 'operator' && (expression.name === '+' || expression.name === '-')) {
    const inner = shifted(expression.left)
    const by = evaluate(expression.right, {})
    if (!inner || typeof by !== 'number') return null
    const days = expression.left.family === 'date' && expression.right.family === 'number' ? 86_400_000 : 1
    return { column: inner.column, offset: inner.offset + (expression.name === '+' ? by : -by) * days }
  }
  const column = columnIn(expression)
  return column === null ? null : { column, offset: 0 }
}

function pattern(column: string, name: string, value: string, into: Demands): void {
  const source = name.startsWith('~~') ? fromLike(value) : toJavaScript(value)
  if (source !== null) into.add(column, { patterns: [source] })
}
