/**
 * Values, operators and functions of pgbench's expressions: PostgreSQL documentation, pgbench, section "Built-In
 * Operators" and "Built-In Functions". Integers have 64 bits and overflow is an error; one double makes the other
 * operand a double, except for `%` and the bit operators; NULL in gives NULL out.
 */
import { hash32, type Random } from './random.js'

/** NULL, boolean, 64-bit integer or double. */
export type Value = null | boolean | bigint | number

/** An expression cannot be computed. The message is for the user. */
export class ExpressionError extends Error {}

const MIN = -(2n ** 63n)
const MAX = 2n ** 63n - 1n

const typeName = (value: Value): string =>
  value === null ? 'null' : typeof value === 'bigint' ? 'integer' : typeof value === 'number' ? 'double' : 'boolean'

function inRange(value: bigint, what: string): bigint {
  if (value < MIN || value > MAX) throw new ExpressionError(`${what}: bigint out of range`)
  return value
}

export function toInteger(value: Value): bigint {
  if (typeof value === 'bigint') return value
  if (typeof value !== 'number') throw new ExpressionError(`cannot use ${typeName(value)} as an integer`)
  // Half to even, as the C library rounds.
  const floor = Math.floor(value)
  const rest = value - floor
  const rounded = rest > 0.5 || (rest === 0.5 && floor % 2 !== 0) ? floor + 1 : floor
  if (!(rounded >= -(2 ** 63) && rounded < 2 ** 63)) throw new ExpressionError('double to integer: bigint out of range')
  return BigInt(rounded)
}

export function toDouble(value: Value): number {
  if (typeof value === 'number') return value
  if (typeof value === 'bigint') return Number(value)
  throw new ExpressionError(`cannot use ${typeName(value)} as a double`)
}

export function toBoolean(value: Value): boolean {
  if (typeof value === 'boolean') return value
  throw new ExpressionError(`cannot use ${typeName(value)} as a boolean`)
}

/** Whether the condition of a WHEN holds: numbers other than 0 do, NULL does not. */
export const isTrue = (value: Value): boolean =>
  typeof value === 'boolean' ? value : typeof value === 'bigint' ? value !== 0n : value !== null && value !== 0

const strict =
  (f: (a: Value, b: Value) => Value) =>
  (a: Value, b: Value): Value =>
    a === null || b === null ? null : f(a, b)

const numeric = (ints: (a: bigint, b: bigint) => Value, doubles: (a: number, b: number) => Value) =>
  strict((a, b) =>
    typeof a === 'number' || typeof b === 'number'
      ? doubles(toDouble(a), toDouble(b))
      : ints(toInteger(a), toInteger(b)),
  )

const integral = (f: (a: bigint, b: bigint) => Value) => strict((a, b) => f(toInteger(a), toInteger(b)))

function divisor(value: bigint): bigint {
  if (value === 0n) throw new ExpressionError('division by zero')
  return value
}

/** Two-operand operators but AND and OR, which need not look at both sides. */
export const OPERATORS: Readonly<Record<string, (a: Value, b: Value) => Value>> = {
  '+': numeric(
    (a, b) => inRange(a + b, 'addition'),
    (a, b) => a + b,
  ),
  '-': numeric(
    (a, b) => inRange(a - b, 'subtraction'),
    (a, b) => a - b,
  ),
  '*': numeric(
    (a, b) => inRange(a * b, 'multiplication'),
    (a, b) => a * b,
  ),
  '/': numeric(
    (a, b) => inRange(a / divisor(b), 'division'),
    (a, b) => a / b,
  ),
  '%': integral((a, b) => a % divisor(b)),
  '=': numeric(
    (a, b) => a === b,
    (a, b) => a === b,
  ),
  '<>': numeric(
    (a, b) => a !== b,
    (a, b) => a !== b,
  ),
  '!=': numeric(
    (a, b) => a !== b,
    (a, b) => a !== b,
  ),
  '<': numeric(
    (a, b) => a < b,
    (a, b) => a < b,
  ),
  '<=': numeric(
    (a, b) => a <= b,
    (a, b) => a <= b,
  ),
  '>': numeric(
    (a, b) => a > b,
    (a, b) => a > b,
  ),
  '>=': numeric(
    (a, b) => a >= b,
    (a, b) => a >= b,
  ),
  '&': integral((a, b) => a & b),
  '|': integral((a, b) => a | b),
  '#': integral((a, b) => a ^ b),
  // A shift by more than 63 is undefined in C; the machines in use take the low 6 bits.
  '<<': integral((a, b) => BigInt.asIntN(64, a << (b & 63n))),
  '>>': integral((a, b) => a >> (b & 63n)),
}

export interface Context {
  random: Random
  variable(name: string): Value
}

interface Signature {
  /** Fewest and most arguments. */
  arguments: readonly [number, number]
  call(args: readonly Value[], context: Context): Value
}

const one = (f: (a: Value) => Value): Signature => ({ arguments: [1, 1], call: ([a = null]) => f(a) })
const double = (f: (a: number) => number): Signature => one((a) => f(toDouble(a)))

const extreme = (wins: (a: number | bigint, b: number | bigint) => boolean): Signature => ({
  arguments: [1, Infinity],
  call: (args) => {
    const numbers: (number | bigint)[] = args.some((a) => typeof a === 'number')
      ? args.map(toDouble)
      : args.map(toInteger)
    return numbers.reduce((best, x) => (wins(x, best) ? x : best))
  },
})

const power: Signature = { arguments: [2, 2], call: ([a = null, b = null]) => Math.pow(toDouble(a), toDouble(b)) }

const hash = (f: (value: bigint, seed: bigint) => bigint): Signature => ({
  arguments: [1, 2],
  call: ([value = null, seed], context) =>
    BigInt.asIntN(64, f(BigInt.asUintN(64, toInteger(value)), BigInt.asUintN(64, toInteger(seedOf(seed, context))))),
})

const seedOf = (given: Value | undefined, context: Context): Value =>
  given === undefined ? context.variable('default_seed') : given

/** A random function of a range: draws from 0 to the width, so that the range may lie anywhere. */
const ranged = (draw: (random: Random, width: number, parameter: number) => number, parameters: 0 | 1): Signature => ({
  arguments: [2 + parameters, 2 + parameters],
  call: ([min = null, max = null, parameter = 0], { random }) => {
    const low = toInteger(min)
    const width = toInteger(max) - low
    if (width < 0n) throw new ExpressionError(`empty range given to random: ${low} is above ${low + width}`)
    if (width >= 2n ** 53n - 1n) throw new ExpressionError('random range is too large')
    try {
      return low + BigInt(draw(random, Number(width), toDouble(parameter)))
    } catch (error) {
      throw error instanceof RangeError ? new ExpressionError(error.message) : error
    }
  },
})

/** Functions by lower-case name. Called with arguments that are not NULL. */
export const FUNCTIONS: Readonly<Record<string, Signature>> = {
  abs: one((a) =>
    typeof a === 'number' ? Math.abs(a) : inRange(toInteger(a) < 0n ? -toInteger(a) : toInteger(a), 'abs'),
  ),
  double: one(toDouble),
  exp: double(Math.exp),
  greatest: extreme((a, b) => a > b),
  hash: hash(murmur2),
  hash_fnv1a: hash(fnv1a),
  hash_murmur2: hash(murmur2),
  int: one(toInteger),
  least: extreme((a, b) => a < b),
  ln: double(Math.log),
  mod: { arguments: [2, 2], call: ([a = null, b = null]) => toInteger(a) % divisor(toInteger(b)) },
  permute: {
    arguments: [2, 3],
    call: ([i = null, size = null, seed], context) =>
      permute(toInteger(i), toInteger(size), toInteger(seedOf(seed, context))),
  },
  pi: { arguments: [0, 0], call: () => Math.PI },
  pow: power,
  power,
  random: ranged((random, width) => random.int(0, width), 0),
  random_exponential: ranged((random, width, parameter) => random.exponential(0, width, parameter), 1),
  random_gaussian: ranged((random, width, parameter) => random.gaussian(0, width, parameter), 1),
  random_zipfian: ranged((random, width, parameter) => random.zipfian(0, width, parameter), 1),
  sqrt: double(Math.sqrt),
}

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value)

/** FNV-1a, 64 bits (draft-eastlake-fnv), over the eight bytes of the value, lowest first. */
function fnv1a(value: bigint, seed: bigint): bigint {
  let result = 0xcbf29ce484222325n ^ seed
  for (let shift = 0n; shift < 64n; shift += 8n) result = wrap((result ^ ((value >> shift) & 0xffn)) * 0x100000001b3n)
  return result
}

/** MurmurHash64A of Austin Appleby's MurmurHash2 for a key of eight bytes. */
function murmur2(value: bigint, seed: bigint): bigint {
  const multiply = (x: bigint): bigint => wrap(x * 0xc6a4a7935bd1e995n)
  const shift = (x: bigint): bigint => x ^ (x >> 47n)
  const key = multiply(shift(multiply(value)))
  return shift(multiply(shift(multiply(seed ^ multiply(8n) ^ key))))
}

/**
 * A permutation of 0..size-1: a Feistel network on the next even number of bits, walked until the value is below the
 * size. It has the properties that pgbench documents (perfect, fixed by size and seed), not the same order.
 */
function permute(i: bigint, size: bigint, seed: bigint): bigint {
  if (size <= 0n) throw new ExpressionError('permute size parameter must be greater than zero')
  let half = 1n
  while (1n << (2n * half) < size) half++
  const mask = (1n << half) - 1n
  let value = ((i % size) + size) % size
  do {
    let left = value >> half
    let right = value & mask
    for (let round = 0; round < 6; round++)
      [left, right] = [right, left ^ (BigInt(hash32(`${right}/${round}/${seed}`)) & mask)]
    value = (left << half) | right
  } while (value >= size)
  return value
}
