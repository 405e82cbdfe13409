/** Built-in types that are neither number, text nor time, and those of common extensions. */
import { distinguishing, hex, nth, type Draw } from './draw.js'
import { CannotMake, type TypeShape } from './types.js'

type Make = (draw: Draw, type: TypeShape) => string

const coordinate = (draw: Draw): string => (draw.random.int(-180_000, 180_000) / 1000).toString()
const point = (draw: Draw): string =>
  draw.unique ? `(${nth(draw, 2 ** 40)},${coordinate(draw)})` : `(${coordinate(draw)},${coordinate(draw)})`
const square = (draw: Draw): string => {
  const [x, y] = [draw.unique ? nth(draw, 2 ** 30) : draw.random.int(0, 1000), draw.random.int(0, 1000)]
  return `(${x + 1},${y + 1}),(${x},${y})`
}
const path = (draw: Draw): string =>
  `((0,0),(${draw.random.int(1, 99)},${nth(draw, 2 ** 30)}),(${draw.random.int(1, 99)},0))`

const bits = (draw: Draw, length: number): string => {
  if (draw.unique) {
    const text = nth(draw, 2 ** Math.min(length, 48)).toString(2)
    return text.padStart(length, '0')
  }
  return Array.from({ length }, () => draw.random.int(0, 1)).join('')
}

const json: Make = (draw) => {
  switch (draw.want.json) {
    case 'array':
      return `["${word(draw)}", ${draw.random.int(1, 100)}]`
    case 'string':
      return `"${word(draw)}"`
    case 'number':
      return String(draw.random.int(1, 1000))
    case 'boolean':
      return 'true'
    case 'null':
      return 'null'
    default:
      return `{"kind": "${word(draw)}", "count": ${draw.random.int(1, 1000)}${draw.unique ? `, "id": "${distinguishing(draw)}"` : ''}}`
  }
}
const WORDS = ['alpha', 'beta', 'gamma', 'delta', 'epsilon', 'zeta', 'theta', 'kappa', 'lambda', 'sigma', 'omega']
const word = (draw: Draw): string => draw.random.pick(WORDS) + (draw.unique ? distinguishing(draw) : '')

const address = (draw: Draw): string => {
  const n = nth(draw, 2 ** 24)
  return `10.${(n >> 16) & 255}.${(n >> 8) & 255}.${n & 255}`
}

const uuid: Make = ({ random }) => {
  const text = hex(random, 32)
  const variant = '89ab'[random.int(0, 3)] ?? '8'
  return `${text.slice(0, 8)}-${text.slice(8, 12)}-4${text.slice(13, 16)}-${variant}${text.slice(17, 20)}-${text.slice(20)}`
}

const makers: Readonly<Record<string, Make>> = {
  uuid,
  json,
  jsonb: json,
  bytea: (draw) => `\\x${hex(draw.random, 2 * Math.max(draw.want.minLength, Math.min(draw.want.maxLength, 16)))}`,
  xml: (draw) => `<item><kind>${word(draw)}</kind></item>`,
  jsonpath: (draw) => `$.${word(draw)}`,
  inet: (draw) => address(draw),
  cidr: (draw) => `${address(draw)}/32`,
  macaddr: (draw) => (`02${hex(draw.random, 10)}`.match(/../g) ?? []).join(':'),
  macaddr8: (draw) => (`02${hex(draw.random, 14)}`.match(/../g) ?? []).join(':'),
  bit: (draw, type) => bits(draw, type.modifier > 0 ? type.modifier : 1),
  varbit: (draw, type) => bits(draw, type.modifier > 0 ? type.modifier : 16),
  point,
  lseg: (draw) => `[${point(draw)},(0,0)]`,
  line: (draw) => `{1,-1,${nth(draw, 2 ** 30)}}`,
  box: square,
  path,
  polygon: path,
  circle: (draw) => `<${point(draw)},${draw.random.int(1, 100)}>`,
  tsvector: (draw) => `'${word(draw)}':1 '${draw.random.pick(WORDS)}':2`,
  tsquery: (draw) => `'${word(draw)}' & '${draw.random.pick(WORDS)}'`,
  pg_lsn: (draw) =>
    `0/${nth(draw, 2 ** 31)
      .toString(16)
      .toUpperCase()}`,
  tid: (draw) => `(${draw.random.int(0, 1000)},${draw.random.int(1, 50)})`,
  hstore: (draw) => `"${word(draw)}"=>"${draw.random.pick(WORDS)}"`,
  ltree: (draw) => `top.${draw.random.pick(WORDS)}.${word(draw)}`,
  lquery: (draw) => `*.${draw.random.pick(WORDS)}.*`,
  cube: (draw) => `(${draw.random.int(0, 1000)}, ${nth(draw, 2 ** 30)})`,
  isbn: () => '9780393040029',
  int2vector: (draw) => `${draw.random.int(1, 9)} ${draw.random.int(1, 9)}`,
  oidvector: (draw) => `${draw.random.int(1, 9)} ${draw.random.int(1, 9)}`,
  vector: (draw, type) => vector(draw, type, ''),
  halfvec: (draw, type) => vector(draw, type, ''),
  sparsevec: (draw, type) => `{1:${draw.random.int(1, 100) / 100}}/${Math.max(type.modifier, 1)}`,
  geometry: (draw) => `POINT(${lonLat(draw)})`,
  geography: (draw) => `SRID=4326;POINT(${lonLat(draw)})`,
}

const lonLat = ({ random }: Draw): string => `${random.int(-17_900, 17_900) / 100} ${random.int(-8_900, 8_900) / 100}`

function vector(draw: Draw, type: TypeShape, unit: string): string {
  // A column without a dimension takes any; three is as good as another.
  const dimensions = type.modifier > 0 ? type.modifier : 3
  const parts = Array.from({ length: dimensions }, () => (draw.random.int(-1000, 1000) / 1000).toString())
  return `[${parts.join(',')}]${unit}`
}

/** Throws CannotMake for a type that nothing is known of. */
export function makeOther(type: TypeShape, draw: Draw): string {
  const make = Object.hasOwn(makers, type.base) ? makers[type.base] : undefined
  if (!make) throw new CannotMake(`no value is known for the type ${type.base}`)
  return make(draw, type)
}
