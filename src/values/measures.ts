/** Expressions about a column that are not its value: its length, its number of elements, whether it is NULL. */
import { columnIn, demand, type Demands, type Relation } from './demands.js'
import { evaluate } from './evaluate.js'
import type { Expression } from './expression.js'
import type { Random } from './random.js'

/** Whether this is the length of a column: of a text, of bytes, or of an array. */
export function measure(expression: Expression): { column: string; items: boolean } | null {
  if (expression.kind === 'cast') return measure(expression.item)
  if (expression.kind !== 'call' || !expression.items[0]) return null
  const column = columnIn(expression.items[0])
  if (column === null) return null
  if (/^(length|char_length|character_length|octet_length)$/.test(expression.name)) return { column, items: false }
  return /^(array_length|cardinality)$/.test(expression.name) ? { column, items: true } : null
}

export function measured(expression: Expression, relation: Relation, value: number, into: Demands): void {
  const found = measure(expression)
  if (!found || !Number.isFinite(value)) return
  const least = relation === '>' ? Math.floor(value) + 1 : relation === '>=' || relation === '=' ? Math.ceil(value) : 0
  const most =
    relation === '<' ? Math.ceil(value) - 1 : relation === '<=' || relation === '=' ? Math.floor(value) : Infinity
  into.add(found.column, found.items ? { minItems: least, maxItems: most } : { minLength: least, maxLength: most })
}

export function jsonTyped(expression: Expression): string | null {
  const named = expression.kind === 'call' && /^jsonb?_typeof$/.test(expression.name)
  return named && expression.items[0] ? columnIn(expression.items[0]) : null
}

/** A condition of which an expression counts whether it is as `holds` says. */
export interface Counted {
  condition: Expression
  holds: boolean
}

/** Conditions whose number an expression is: num_nonnulls(a, b), (a IS NOT NULL)::int + ..., CASE WHEN a THEN 1 ELSE 0 END. */
export function counted(expression: Expression): Counted[] | null {
  if (expression.kind === 'call' && /^num_(non)?nulls$/.test(expression.name)) {
    const kind = expression.name === 'num_nulls' ? 'is null' : 'is not null'
    return expression.items.map((item) => ({ condition: { kind, item, family: 'boolean' }, holds: true }))
  }
  if (expression.kind === 'operator' && expression.name === '+') {
    const [a, b] = [counted(expression.left), counted(expression.right)]
    return a && b ? [...a, ...b] : null
  }
  if (expression.kind === 'cast' && expression.family === 'number' && expression.item.family === 'boolean')
    return [{ condition: expression.item, holds: true }]
  const [only] = expression.kind === 'case' ? expression.when : []
  if (expression.kind !== 'case' || expression.when.length !== 1 || !only) return null
  const [yes, no] = [evaluate(only.result, {}), evaluate(expression.otherwise, {})]
  return (yes === 1 && no === 0) || (yes === 0 && no === 1) ? [{ condition: only.condition, holds: yes === 1 }] : null
}

/** Draws which of the conditions hold, so that their number stands in the relation to the value. */
export function howMany(
  terms: readonly Counted[],
  relation: Relation,
  value: number,
  into: Demands,
  random: Random,
): void {
  const fitting = Array.from({ length: terms.length + 1 }, (_, n) => n).filter((n) => related(n, relation, value))
  if (fitting.length === 0) {
    into.contradiction = true
    return
  }
  const left = [...terms]
  for (let count = random.pick(fitting); count > 0; count--) {
    const [one] = left.splice(random.int(0, left.length - 1), 1)
    if (one) demand(one.condition, one.holds, into, random)
  }
  for (const one of left) demand(one.condition, !one.holds, into, random)
}

function related(n: number, relation: Relation, value: number): boolean {
  switch (relation) {
    case '=':
      return n === value
    case '<>':
      return n !== value
    case '<':
      return n < value
    case '<=':
      return n <= value
    case '>':
      return n > value
    case '>=':
      return n >= value
  }
}
