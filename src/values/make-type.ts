/** A value of any type: dispatch by family, and the types that are made of others. */
import { Demands, demand } from './demands.js'
import { nth, type Draw } from './draw.js'
import { evaluate } from './evaluate.js'
import { familyOf, readExpression, type Expression } from './expression.js'
import { arrayLiteral, compositeLiteral } from './literals.js'
import { isNumber, makeBoolean, makeNumber } from './make-number.js'
import { makeOther } from './make-other.js'
import { isText, makeText } from './make-text.js'
import { DAY_MS, EPOCH_MS, dateText, isTime, makeTime, timestampText } from './make-time.js'
import type { Random } from './random.js'
import { CannotMake, type TypeShape } from './types.js'
import { ANYTHING, both, type Want } from './want.js'

/** Elements of an array where nothing says how many. */
const USUAL_ITEMS = 3

const MOST_ATTEMPTS = 20

/** Throws CannotMake when it knows of no value of this type that is as wanted and that its domains accept. */
export function makeValue(type: TypeShape, draw: Draw): string {
  if (type.domainChecks.length === 0) return makePlain(type, draw)
  const checks = domainExpressions(type)
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const demanded = domainWant(type, draw.random)
    const want = demanded && both(draw.want, demanded)
    if (!want) continue
    const value = makePlain(type, { ...draw, want })
    if (checks.every((check) => evaluate(check, { value }) !== false)) return value
  }
  throw new CannotMake(`no value is known that the domain ${type.sql} accepts`)
}

const expressionsOf = new WeakMap<TypeShape, Expression[]>()

function domainExpressions(type: TypeShape): Expression[] {
  let expressions = expressionsOf.get(type)
  if (!expressions) {
    const column = { name: 'value', family: familyOf(type) }
    expressions = type.domainChecks.map((sql) => readExpression(sql, (name) => (name === 'value' ? column : null)))
    expressionsOf.set(type, expressions)
  }
  return expressions
}

/** What the domains of a type want of a value, where there is a choice one way of it; null when it is none. */
export function domainWant(type: TypeShape, random: Random): Want | null {
  const demands = new Demands()
  for (const check of domainExpressions(type)) demand(check, true, demands, random)
  return demands.contradiction ? null : { ...(demands.wants.get('value') ?? ANYTHING), nullness: null }
}

function makePlain(type: TypeShape, draw: Draw): string {
  const { oneOf } = draw.want
  if (oneOf) return oneOf[nth(draw, oneOf.length)] ?? ''
  if (type.labels) {
    const labels = draw.want.noneOf.length > 0 ? type.labels.filter((l) => !draw.want.noneOf.includes(l)) : type.labels
    if (labels.length === 0) throw new CannotMake(`the type ${type.base} has no label`)
    return labels[nth(draw, labels.length)] ?? ''
  }
  if (type.element) return makeArray(type.element, draw)
  if (type.kind === 'r' && type.subtype) return makeRange(type.subtype, draw)
  if (type.kind === 'm' && type.subtype) return `{${makeRange(type.subtype, draw)}}`
  if (type.attributes)
    return compositeLiteral(type.attributes.map((attribute) => makeValue(attribute.type, { ...draw, ...INNER })))
  if (type.base === 'bool') return makeBoolean(draw)
  if (isNumber(type.base)) return makeNumber(type, draw)
  if (isText(type.base)) return makeText(type, draw)
  if (isTime(type.base)) return makeTime(type.base, draw)
  return makeOther(type, draw)
}

/** The wishes for the whole are not those for its parts. */
const INNER = { want: ANYTHING, usual: null } as const

function makeArray(element: TypeShape, draw: Draw): string {
  const { minItems, maxItems } = draw.want
  const least = Math.max(minItems, draw.unique ? 1 : 0)
  const most = Math.min(maxItems, Math.max(least, USUAL_ITEMS))
  const count = draw.random.int(Math.min(least, most), most)
  const items = Array.from({ length: count }, (_, index) =>
    makeValue(element, { ...draw, ...INNER, unique: draw.unique && index === 0 }),
  )
  return arrayLiteral(items)
}

/** Ranges are short and, where they must not meet, each has a place of its own. */
function makeRange(subtype: TypeShape, draw: Draw): string {
  const apart = draw.unique
  switch (subtype.base) {
    case 'date': {
      const from = apart ? Date.UTC(1950, 0, 1) + nth(draw, 1_000_000) * 2 * DAY_MS : pastMs(draw)
      return `[${dateText(from)},${dateText(from + (apart ? 1 : draw.random.int(1, 30)) * DAY_MS)})`
    }
    case 'timestamp':
    case 'timestamptz': {
      const zone = subtype.base === 'timestamptz' ? '+00' : ''
      const from = apart ? Date.UTC(1950, 0, 1) + nth(draw, 100_000_000) * 60_000 : pastMs(draw)
      const to = from + (apart ? 30_000 : draw.random.int(1, 72) * 3_600_000)
      return `["${timestampText(from)}${zone}","${timestampText(to)}${zone}")`
    }
    default: {
      if (!isNumber(subtype.base)) {
        const value = makeValue(subtype, { ...draw, ...INNER })
        return `["${value.replace(/["\\]/g, '\\$&')}",]`
      }
      const from = apart ? nth(draw, subtype.base === 'int2' ? 16_000 : 1_000_000_000) * 2 : draw.random.int(0, 1000)
      return `[${from},${from + (apart ? 1 : draw.random.int(1, 100))})`
    }
  }
}

const pastMs = (draw: Draw): number => EPOCH_MS - draw.random.int(1, 730 * 24) * 3_600_000
