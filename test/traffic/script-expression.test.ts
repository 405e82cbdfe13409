import { describe, expect, it } from 'vitest'
import { ExpressionError, parseExpression, type Value } from '../../src/traffic/expression.js'
import { Random } from '../../src/traffic/random.js'

const KNOWN: Record<string, Value> = { n: 1000n, default_seed: 42n, flag: true, nothing: null, d: 1.5, été: 7n }

const evaluate = (text: string, seed = 1): Value =>
  parseExpression(text, (name) => name in KNOWN)({ random: new Random(seed), variable: (name) => KNOWN[name] ?? null })

/** A value as pgbench's debug() prints it. */
function show(value: Value): string {
  if (value === null) return 'null'
  if (typeof value === 'bigint') return `int ${value}`
  if (typeof value === 'boolean') return `boolean ${String(value)}`
  return `double ${Number(value.toPrecision(15))}`
}

// What debug() of pgbench 15 printed for each, with -D n=1000 -D default_seed=42.
const PGBENCH: [string, string][] = [
  ['1 + 2 * 3', 'int 7'],
  ['(1 + 2) * 3', 'int 9'],
  ['7 / 2', 'int 3'],
  ['-7 / 2', 'int -3'],
  ['7 / 2.0', 'double 3.5'],
  ['7 % 3', 'int 1'],
  ['-7 % 3', 'int -1'],
  ['7.6 % 3', 'int 2'],
  ['2 - 3 - 4', 'int -5'],
  ['- 5 + 2', 'int -3'],
  ['- -5', 'int 5'],
  ['+3', 'int 3'],
  ['1.5 + 1', 'double 2.5'],
  ['.5 * 4', 'double 2'],
  ['1e3', 'double 1000'],
  ['5 = 5', 'boolean true'],
  ['5 <> 5', 'boolean false'],
  ['5 != 4', 'boolean true'],
  ['3 < 2', 'boolean false'],
  ['3 <= 3', 'boolean true'],
  ['3 > 2', 'boolean true'],
  ['2 >= 3', 'boolean false'],
  ['1 < 2.5', 'boolean true'],
  ['1 = 1.0', 'boolean true'],
  ['not true', 'boolean false'],
  ['not false and true', 'boolean true'],
  ['not 1 = 2', 'boolean true'],
  ['true or false and false', 'boolean true'],
  ['null and false', 'null'],
  ['null and true', 'null'],
  ['null or true', 'null'],
  ['null or false', 'null'],
  ['false and null', 'boolean false'],
  ['1.0 / 0', 'double Infinity'],
  ['null is null', 'boolean true'],
  ['1 is not null', 'boolean true'],
  ['null isnull', 'boolean true'],
  ['1 notnull', 'boolean true'],
  ['true is true', 'boolean true'],
  ['false is true', 'boolean false'],
  ['1 is true', 'boolean false'],
  ['1 is not true', 'boolean true'],
  ['null is not false', 'boolean true'],
  ['1 = 2 is null', 'boolean false'],
  ['1 + null', 'null'],
  ['null = null', 'null'],
  ['case when 1 > 2 then 10 when 2 > 1 then 20 else 30 end', 'int 20'],
  ['case when null then 1 end', 'null'],
  ['case when 0.0 then 1 else 2 end', 'int 2'],
  ['case when 2 then 1 else 2 end', 'int 1'],
  ['CASE WHEN TRUE THEN 1 END', 'int 1'],
  ['5 & 3', 'int 1'],
  ['5 | 3', 'int 7'],
  ['5 # 3', 'int 6'],
  ['~5', 'int -6'],
  ['~1 + 2', 'int -4'],
  ['1 << 4', 'int 16'],
  ['-16 >> 2', 'int -4'],
  ['1 | 2 + 4', 'int 7'],
  ['1 + 2 = 3', 'boolean true'],
  ['abs(-17)', 'int 17'],
  ['abs(-1.5)', 'double 1.5'],
  ['double(5432)', 'double 5432'],
  ['exp(1.0)', 'double 2.71828182845905'],
  ['exp(2)', 'double 7.38905609893065'],
  ['greatest(5, 4, 3, 2)', 'int 5'],
  ['greatest(5, 4.5)', 'double 5'],
  ['greatest(1, 2.5, 3)', 'double 3'],
  ['least(5, 4, 3, 2.1)', 'double 2.1'],
  ['least(5,4)', 'int 4'],
  ['hash(10, 5432)', 'int -5817877081768721676'],
  ['hash(10)', 'int -3562774314593256714'],
  ['hash_murmur2(10, 5432)', 'int -5817877081768721676'],
  ['hash_fnv1a(10, 5432)', 'int -7793829335365542153'],
  ['hash_fnv1a(10)', 'int -3931898588792031835'],
  ['hash(-1, -1)', 'int 1317380444104773032'],
  ['hash_fnv1a(-1, 9223372036854775807)', 'int -106830248801889646'],
  ['int(5.4 + 3.8)', 'int 9'],
  ['int(0.5)', 'int 0'],
  ['int(1.5)', 'int 2'],
  ['int(2.5)', 'int 2'],
  ['int(-0.5)', 'int 0'],
  ['int(-1.5)', 'int -2'],
  ['int(2.6)', 'int 3'],
  ['ln(2.718281828459045)', 'double 1'],
  ['mod(54, 32)', 'int 22'],
  ['mod(-7, 3)', 'int -1'],
  ['mod(7.6, 3)', 'int 2'],
  ['permute(0, 1)', 'int 0'],
  ['pi()', 'double 3.14159265358979'],
  ['pow(2.0, 10)', 'double 1024'],
  ['power(2, 10)', 'double 1024'],
  ['sqrt(2.0)', 'double 1.4142135623731'],
  ['sqrt(4)', 'double 2'],
  ['9223372036854775807', 'int 9223372036854775807'],
  ['-9223372036854775808', 'int -9223372036854775808'],
  ['-9223372036854775808 % -1', 'int 0'],
  ['abs(null)', 'null'],
  ['random(3, 3)', 'int 3'],
  [':n / 3', 'int 333'],
  ['2 * -3', 'int -6'],
  ['2 - -3', 'int 5'],
  ['1 << 64', 'int 1'],
  ['1 << 65', 'int 2'],
  ['1 = null', 'null'],
]

const seen = (text: string, count = 2000): number[] => {
  const random = new Random('draws')
  const expression = parseExpression(text, () => false)
  return Array.from({ length: count }, () => Number(expression({ random, variable: () => null })))
}

describe('expressions', () => {
  it.each(PGBENCH)('%s = %s', (text, expected) => {
    expect(show(evaluate(text))).toBe(expected)
  })

  it.each([
    [':flag', 'boolean true'],
    [':nothing is null', 'boolean true'],
    [':d * 2', 'double 3'],
    [':été + 1', 'int 8'],
    ['RANDOM(:n, :n) + Abs(-1)', 'int 1001'],
    ['case when false then 1 / 0 else 5 end', 'int 5'],
    ['false and 1 / 0 = 1', 'boolean false'],
    ['true or 1 / 0 = 1', 'boolean true'],
    ['  1\n +\t2 ', 'int 3'],
  ])('%s = %s', (text, expected) => {
    expect(show(evaluate(text))).toBe(expected)
  })

  it.each<[string, RegExp]>([
    ['1 / 0', /^division by zero$/],
    ['1 % 0', /^division by zero$/],
    ['mod(1, 0)', /^division by zero$/],
    ['int(1e30)', /bigint out of range/],
    ['int(0.0 / 0)', /bigint out of range/],
    ['9223372036854775807 + 1', /addition: bigint out of range/],
    ['-9223372036854775808 - 1', /subtraction: bigint out of range/],
    ['9223372036854775807 * 2', /multiplication: bigint out of range/],
    ['-9223372036854775808 / -1', /division: bigint out of range/],
    ['abs(-9223372036854775808)', /abs: bigint out of range/],
    ['true + 1', /cannot use boolean as an integer/],
    ['true = true', /cannot use boolean as an integer/],
    ['abs(true)', /cannot use boolean as an integer/],
    ['sqrt(true)', /cannot use boolean as a double/],
    ['not 1', /cannot use integer as a boolean/],
    ['1 and true', /cannot use integer as a boolean/],
    ['true and 1.5', /cannot use double as a boolean/],
    ['random(5, 4)', /^empty range given to random: 5 is above 4$/],
    ['random(-9223372036854775808, 9223372036854775807)', /range is too large/],
    ['random_gaussian(1, 10, 1.9)', /gaussian parameter must be at least 2/],
    ['random_exponential(1, 10, 0.0)', /exponential parameter must be greater than zero/],
    ['random_zipfian(1, 10, 1.0)', /zipfian parameter must be from 1.001 to 1000/],
    ['random_zipfian(1, 10, 1000.1)', /zipfian parameter/],
    ['random_zipfian(2, 1, 1.5)', /empty range/],
    ['permute(0, 0, 1)', /permute size parameter must be greater than zero/],
  ])('fails when it runs: %s', (text, message) => {
    const expression = parseExpression(text, () => false)
    const run = (): Value => expression({ random: new Random(1), variable: () => null })
    expect(run).toThrow(ExpressionError)
    expect(run).toThrow(message)
  })

  it.each<[string, RegExp]>([
    ['', /ends too early/],
    ['1 +', /ends too early/],
    ['(1', /ends too early/],
    ['1 2', /unexpected number/],
    ['1)', /unexpected "\)"/],
    ['abs 1', /unexpected "abs".*:abs/],
    ['n + 1', /unexpected "n".*:n/],
    ['1 < 2 < 3', /unexpected "<"/],
    ['1 = 2 = 3', /unexpected "="/],
    ['1 is 2', /unexpected number/],
    ['1 between 0 and 2', /unexpected "between"/],
    ["'a'", /unexpected "'a'"/],
    ['1 ; 2', /unexpected "; 2"/],
    ['1 -- comment', /unexpected "comment"/],
    ['case 1 end', /unexpected number/],
    ['case when 1 then 2', /ends too early/],
    ['9223372036854775808', /bigint constant out of range/],
    ['99999999999999999999', /bigint constant out of range/],
    ['nosuch(1)', /^unknown function nosuch\(\)$/],
    ['debug(1)', /^unknown function debug\(\)$/],
    ['toString(1)', /^unknown function toString\(\)$/],
    ['case when true then 1 else rnd(1, 2) end', /^unknown function rnd\(\)$/],
    [':nosuch + 1', /^:nosuch is never set$/],
    ['case when true then 1 else :nosuch end', /^:nosuch is never set$/],
    ['abs(1, 2)', /abs\(\) takes 1 argument, not 2/],
    ['pi(1)', /pi\(\) takes 0 arguments, not 1/],
    ['hash()', /hash\(\) takes 1 or 2 arguments, not 0/],
    ['least()', /least\(\) takes at least 1 argument, not 0/],
    ['random(1)', /random\(\) takes 2 arguments, not 1/],
    ['abs(1,)', /unexpected "\)"/],
  ])('is refused when it is read: %s', (text, message) => {
    const read = (): unknown => parseExpression(text, (name) => name === 'n')
    expect(read).toThrow(ExpressionError)
    expect(read).toThrow(message)
  })
})

describe('random functions', () => {
  it.each([
    'random(-3, 4)',
    'random_gaussian(-3, 4, 2.5)',
    'random_exponential(-3, 4, 1.5)',
    'random_zipfian(-3, 4, 1.2)',
    'permute(random(0, 1000), 8, 5) - 3',
  ])('%s reaches both ends and nothing beyond', (text) => {
    const values = seen(text)
    expect([...new Set(values)].sort((a, b) => a - b)).toEqual([-3, -2, -1, 0, 1, 2, 3, 4])
  })

  it('work far from zero without losing digits', () => {
    expect(evaluate('random(9223372036854775807, 9223372036854775807)')).toBe(9223372036854775807n)
    const value = evaluate('random(9007199254740993, 9007199254740995)')
    expect([9007199254740993n, 9007199254740994n, 9007199254740995n]).toContain(value)
  })

  it.each([1, 2, 3, 7, 64, 65, 1000])('permute is a permutation of %i', (size) => {
    const values = Array.from({ length: size }, (_, i) => Number(evaluate(`permute(${i}, ${size}, 99)`)))
    expect(new Set(values).size).toBe(size)
    expect(Math.min(...values)).toBe(0)
    expect(Math.max(...values)).toBe(size - 1)
  })

  it('permute depends on its seed, takes default_seed, and i modulo the size', () => {
    const order = (seed: string): string =>
      Array.from({ length: 50 }, (_, i) => String(evaluate(`permute(${i}, 50${seed})`))).join()
    expect(order(', 1')).not.toBe(order(', 2'))
    expect(order('')).toBe(order(', 42'))
    expect(evaluate('permute(53, 50, 1)')).toBe(evaluate('permute(3, 50, 1)'))
    expect(evaluate('permute(-1, 50, 1)')).toBe(evaluate('permute(49, 50, 1)'))
  })
})
