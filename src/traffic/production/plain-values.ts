/** Values of parameters that belong to no column: by the type alone, and rather small than random. */
import type { Random } from '../random.js'
import { CannotMake, type TypeShape, type ValueMaker } from '../../values/types.js'

const WHOLE = new Set(['int2', 'int4', 'int8', 'oid'])
const FRACTIONS = new Set(['numeric', 'float4', 'float8', 'money'])

/** Values for types of which a random one would be an error or a very large piece of work. */
const FIXED: Readonly<Record<string, string>> = {
  json: '{}',
  jsonb: '{}',
  regconfig: 'simple',
  regdictionary: 'simple',
  jsonpath: '$',
  tsquery: 'word',
  bool: 'true',
  xml: '',
}

/** `type` null: the server has inferred none. */
export function plainValue(type: TypeShape | null, maker: ValueMaker, random: Random): string | null {
  if (type === null || type.base === 'unknown') return 'word'
  if (WHOLE.has(type.base) || FRACTIONS.has(type.base)) return String(random.int(1, 100))
  if (type.base === 'interval') return `${random.int(1, 30)} days`
  const fixed = FIXED[type.base]
  if (fixed !== undefined) return fixed
  try {
    return maker.ofType(type, random)
  } catch (error) {
    if (error instanceof CannotMake) return null
    throw error
  }
}

/** Types that are names of objects: the name was a constant, and nobody can guess it. */
export const isObjectName = (type: TypeShape): boolean =>
  ['regclass', 'regproc', 'regprocedure', 'regtype', 'regrole', 'regnamespace', 'refcursor'].includes(type.base)

/** The value as the inferred type reads it: `12.50` is no integer. */
export function conform(value: string | null, type: TypeShape | null): string | null {
  if (value === null || type === null) return value
  if (WHOLE.has(type.base) && /^-?\d+\.\d+$/.test(value)) return value.slice(0, value.indexOf('.'))
  return value
}
