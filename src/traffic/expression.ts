/**
 * The expressions of pgbench's `\set`: PostgreSQL documentation, pgbench, section "Meta Commands" and "Built-In
 * Operators". Precedence, lowest first: OR; AND; NOT; IS, ISNULL, NOTNULL; comparisons (which do not chain);
 * | # & << >> ~; + -; * / %; unary - and +.
 */
import {
  ExpressionError,
  FUNCTIONS,
  isTrue,
  OPERATORS,
  toBoolean,
  toInteger,
  type Context,
  type Value,
} from './expression-functions.js'

export { ExpressionError, type Context, type Value }

/** Computes an expression. Throws ExpressionError. */
export type Expression = (context: Context) => Value

const TOKEN =
  /\s*(?:(?<double>\d+(?:\.\d*(?:[eE][+-]?\d+)?|[eE][+-]?\d+)|\.\d+(?:[eE][+-]?\d+)?)|(?<integer>\d+)|:(?<variable>[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)|(?<word>[A-Za-z_]\w*)|(?<symbol><>|!=|<=|>=|<<|>>|[-+*/%=<>&|#~(),]))/y

const KEYWORDS = new Set('and or not is isnull notnull null true false case when then else end'.split(' '))

const NOT_LEVEL = 3
const BIT_LEVEL = 6
const UNARY_LEVEL = 9
const LEVELS: Readonly<Record<string, number>> = {
  or: 1,
  and: 2,
  is: 4,
  isnull: 4,
  notnull: 4,
  '=': 5,
  '<>': 5,
  '!=': 5,
  '<': 5,
  '<=': 5,
  '>': 5,
  '>=': 5,
  '|': BIT_LEVEL,
  '#': BIT_LEVEL,
  '&': BIT_LEVEL,
  '<<': BIT_LEVEL,
  '>>': BIT_LEVEL,
  '+': 7,
  '-': 7,
  '*': 8,
  '/': 8,
  '%': 8,
}
const COMPARISON_LEVEL = 5

type Token =
  | { kind: 'value'; value: Value }
  | { kind: 'variable'; name: string }
  | { kind: 'word'; name: string }
  /** Operators, punctuation and keywords in lower case; the empty one is the end. */
  | { kind: 'symbol'; name: string }

/**
 * Reads an expression. `known` says whether a variable is set where the expression stands. Throws ExpressionError for a
 * syntax error, an unknown function or variable, a wrong number of arguments: in every branch, before anything runs.
 */
export function parseExpression(text: string, known: (variable: string) => boolean): Expression {
  const tokens = tokenise(text)
  let at = 0
  const peek = (): Token => tokens[at] ?? { kind: 'symbol', name: '' }
  const isNext = (...names: string[]): boolean => {
    const token = peek()
    return token.kind === 'symbol' && names.includes(token.name)
  }
  const take = (...names: string[]): boolean => {
    const found = isNext(...names)
    if (found) at++
    return found
  }
  const unexpected = (): ExpressionError => {
    const token = peek()
    if (token.kind === 'symbol' && token.name === '') return new ExpressionError('the expression ends too early')
    return new ExpressionError(`unexpected ${token.kind === 'value' ? 'number' : `"${token.name}"`} in the expression`)
  }
  const expect = (name: string): void => {
    if (!take(name)) throw unexpected()
  }

  const binary = (minimum: number): Expression => {
    let left = prefix()
    // Of operators that do not chain (comparisons, IS), the next one must bind weaker than the last.
    let limit = Infinity
    for (;;) {
      const token = peek()
      const level = token.kind === 'symbol' ? (LEVELS[token.name] ?? 0) : 0
      if (token.kind !== 'symbol' || level === 0 || level < minimum) return left
      if (level >= limit) throw unexpected()
      at++
      if (level === 4) {
        left = isTest(left, token.name)
        limit = level
      } else {
        left = combine(token.name, left, binary(level + 1))
        if (level === COMPARISON_LEVEL) limit = level
      }
    }
  }

  const isTest = (operand: Expression, word: string): Expression => {
    const negated = word === 'notnull' || (word === 'is' && take('not'))
    let wanted: Value = null
    if (word === 'is') {
      const token = peek()
      if (token.kind !== 'value' || (token.value !== null && typeof token.value !== 'boolean')) throw unexpected()
      wanted = token.value
      at++
    }
    return (context) => (operand(context) === wanted) !== negated
  }

  const prefix = (): Expression => {
    if (take('not')) {
      const operand = binary(NOT_LEVEL)
      return (context) => {
        const value = operand(context)
        return value === null ? null : !toBoolean(value)
      }
    }
    if (take('~')) {
      const operand = binary(BIT_LEVEL + 1)
      return (context) => {
        const value = operand(context)
        return value === null ? null : ~toInteger(value)
      }
    }
    if (take('+')) return binary(UNARY_LEVEL)
    if (take('-')) {
      const token = peek()
      // The smallest integer has no positive counterpart.
      if (token.kind === 'value' && token.value === 2n ** 63n) {
        at++
        return () => -(2n ** 63n)
      }
      return combine('-', () => 0n, binary(UNARY_LEVEL))
    }
    return primary()
  }

  const primary = (): Expression => {
    const token = peek()
    if (token.kind === 'value') {
      at++
      const value = token.value
      if (value === 2n ** 63n) throw new ExpressionError('bigint constant out of range')
      return () => value
    }
    if (token.kind === 'variable') {
      at++
      if (!known(token.name)) throw new ExpressionError(`:${token.name} is never set`)
      return (context) => context.variable(token.name)
    }
    if (token.kind === 'word') return call(token.name)
    if (take('(')) {
      const inner = binary(1)
      expect(')')
      return inner
    }
    if (take('case')) return caseOf()
    throw unexpected()
  }

  const call = (name: string): Expression => {
    const signature = Object.hasOwn(FUNCTIONS, name.toLowerCase()) ? FUNCTIONS[name.toLowerCase()] : undefined
    at++
    if (!isNext('('))
      throw new ExpressionError(`unexpected "${name}" in the expression (a variable is written :${name})`)
    if (signature === undefined) throw new ExpressionError(`unknown function ${name}()`)
    at++
    const args: Expression[] = []
    if (!take(')')) {
      do args.push(binary(1))
      while (take(','))
      expect(')')
    }
    const [fewest, most] = signature.arguments
    if (args.length < fewest || args.length > most) {
      const wanted =
        fewest === most ? String(fewest) : most === Infinity ? `at least ${fewest}` : `${fewest} or ${most}`
      const noun = wanted.endsWith('1') ? 'argument' : 'arguments'
      throw new ExpressionError(`${name}() takes ${wanted} ${noun}, not ${args.length}`)
    }
    return (context) => {
      const values = args.map((arg) => arg(context))
      return values.includes(null) ? null : signature.call(values, context)
    }
  }

  const caseOf = (): Expression => {
    const branches: [Expression, Expression][] = []
    expect('when')
    do {
      const condition = binary(1)
      expect('then')
      branches.push([condition, binary(1)])
    } while (take('when'))
    const otherwise: Expression = take('else') ? binary(1) : () => null
    expect('end')
    return (context) => {
      for (const [condition, result] of branches) if (isTrue(condition(context))) return result(context)
      return otherwise(context)
    }
  }

  const expression = binary(1)
  if (at < tokens.length) throw unexpected()
  return expression
}

function combine(operator: string, left: Expression, right: Expression): Expression {
  if (operator === 'and' || operator === 'or') {
    // As in pgbench, unlike in SQL: NULL on the left gives NULL, whatever stands on the right.
    const decides = operator === 'or'
    return (context) => {
      const a = left(context)
      if (a === null) return null
      if (toBoolean(a) === decides) return decides
      const b = right(context)
      return b === null ? null : toBoolean(b)
    }
  }
  const apply = OPERATORS[operator]
  if (apply === undefined) throw new ExpressionError(`unknown operator ${operator}`)
  return (context) => apply(left(context), right(context))
}

function tokenise(text: string): Token[] {
  const tokens: Token[] = []
  const end = text.trimEnd().length
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex
    const groups = TOKEN.exec(text)?.groups
    if (groups === undefined)
      throw new ExpressionError(`unexpected "${text.slice(from, end).trim()}" in the expression`)
    tokens.push(toToken(groups))
  }
  return tokens
}

function toToken({ double, integer, variable, word, symbol }: Record<string, string | undefined>): Token {
  if (double !== undefined) return { kind: 'value', value: Number(double) }
  if (integer !== undefined) {
    const value = BigInt(integer)
    if (value > 2n ** 63n) throw new ExpressionError(`bigint constant out of range: ${integer}`)
    return { kind: 'value', value }
  }
  if (variable !== undefined) return { kind: 'variable', name: variable }
  const name = (word ?? symbol ?? '').toLowerCase()
  if (name === 'null') return { kind: 'value', value: null }
  if (name === 'true' || name === 'false') return { kind: 'value', value: name === 'true' }
  if (word !== undefined && !KEYWORDS.has(name)) return { kind: 'word', name: word }
  return { kind: 'symbol', name }
}
