/** Texts of values as what they are compared as. */
import type { Family } from './expression.js'
import { parseArray } from './literals.js'

/** Stands for what is not understood here; the server would know. */
export const UNKNOWN = Symbol('unknown')
export type Scalar = string | number | boolean | null | typeof UNKNOWN | readonly (string | null)[]

const DAY_MS = 86_400_000

/** Reads a value's text. UNKNOWN for a text that is not of the usual form. */
export function readScalar(text: string, family: Family): Scalar {
  switch (family) {
    case 'number':
      return readNumber(text)
    case 'boolean':
      return /^(t|true|on|yes|1)$/i.test(text) ? true : /^(f|false|off|no|0)$/i.test(text) ? false : UNKNOWN
    case 'date':
    case 'time':
      return readMoment(text)
    case 'clock':
      return readClock(text)
    case 'interval':
      return readInterval(text)
    case 'array':
      return parseArray(text) ?? UNKNOWN
    default:
      return text
  }
}

function readNumber(text: string): Scalar {
  // money is written with its sign and commas.
  const plain = text.replace(/[$,]/g, '')
  const number = plain.trim() === '' ? NaN : Number(plain)
  return Number.isNaN(number) ? UNKNOWN : number
}

/** Milliseconds since 1970; without a zone as if in UTC. */
function readMoment(text: string): Scalar {
  if (text === 'infinity') return Infinity
  if (text === '-infinity') return -Infinity
  const parts = /^(\d{4,6})-(\d\d)-(\d\d)(?:[ T](\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?)?(Z|[+-]\d\d(?::?\d\d)?)?$/.exec(
    text,
  )
  if (!parts) return UNKNOWN
  const [, year, month, day, hour = '0', minute = '0', second = '0', zone = ''] = parts
  const at =
    Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute)) + Number(second) * 1000
  return at - zoneMs(zone)
}

function zoneMs(zone: string): number {
  const parts = /^([+-])(\d\d):?(\d\d)?$/.exec(zone)
  if (!parts) return 0
  const ms = Number(parts[2]) * 3_600_000 + Number(parts[3] ?? 0) * 60_000
  return parts[1] === '-' ? -ms : ms
}

function readClock(text: string): Scalar {
  const parts = /^(\d\d):(\d\d)(?::(\d\d(?:\.\d+)?))?/.exec(text)
  return parts ? Number(parts[1]) * 3_600_000 + Number(parts[2]) * 60_000 + Number(parts[3] ?? 0) * 1000 : UNKNOWN
}

const UNITS: readonly [RegExp, number][] = [
  [/^(y|year|years|yr|yrs)$/, 365.25 * DAY_MS],
  [/^(mon|mons|month|months)$/, 30 * DAY_MS],
  [/^(w|week|weeks)$/, 7 * DAY_MS],
  [/^(d|day|days)$/, DAY_MS],
  [/^(h|hr|hrs|hour|hours)$/, 3_600_000],
  [/^(m|min|mins|minute|minutes)$/, 60_000],
  [/^(s|sec|secs|second|seconds)$/, 1000],
]

/** A month counts as 30 days, as in PostgreSQL's own comparison. */
function readInterval(text: string): Scalar {
  let ms = 0
  let rest = text.trim()
  while (rest !== '') {
    const clock = /^(-?)(\d+):(\d\d)(?::(\d\d(?:\.\d+)?))?\s*/.exec(rest)
    const amount = clock ? null : /^([+-]?\d+(?:\.\d+)?)\s*([a-z]+)\s*/.exec(rest)
    if (clock) {
      const part = Number(clock[2]) * 3_600_000 + Number(clock[3]) * 60_000 + Number(clock[4] ?? 0) * 1000
      ms += clock[1] === '-' ? -part : part
    } else if (amount) {
      const unit = UNITS.find(([names]) => names.test(amount[2] ?? ''))
      if (!unit) return UNKNOWN
      ms += Number(amount[1]) * unit[1]
    } else return UNKNOWN
    rest = rest.slice((clock ?? amount)?.[0].length ?? rest.length)
  }
  return ms
}
