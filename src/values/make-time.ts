/** Dates and times, without a clock: the same stream gives the same values on any day. */
import { nth, type Draw } from './draw.js'
import { CannotMake } from './types.js'

/** 2026-01-01T00:00:00Z: made times are before it, so that they are past for any server. */
export const EPOCH_MS = Date.UTC(2026, 0, 1)
/** What is wanted to be in the future is after 2100-01-01. */
export const FUTURE_MS = Date.UTC(2100, 0, 1)
export const DAY_MS = 86_400_000
const SPAN_MS = 730 * DAY_MS
const FIRST_MS = Date.UTC(1000, 0, 1)
const LAST_MS = Date.UTC(9999, 11, 31)

const TYPES = new Set(['date', 'timestamp', 'timestamptz', 'time', 'timetz', 'interval'])
export const isTime = (base: string): boolean => TYPES.has(base)

export function makeTime(base: string, draw: Draw): string {
  switch (base) {
    case 'date':
      return dateText(moment(draw, DAY_MS))
    case 'timestamp':
      return timestampText(moment(draw, 1))
    case 'timestamptz':
      return `${timestampText(moment(draw, 1))}+00`
    case 'time':
    case 'timetz':
      return clockText(within(draw, 0, DAY_MS - 1, 0, DAY_MS - 1, 1)) + (base === 'timetz' ? '+00' : '')
    default:
      return `${within(draw, 0, 10_000 * DAY_MS, 60_000, 30 * DAY_MS, 1000) / 1000} seconds`
  }
}

/** Milliseconds since 1970, a multiple of `step`. */
function moment(draw: Draw, step: number): number {
  const { want } = draw
  if (draw.unique) {
    // Over many years, or counted one second (one day) after the other from the first on.
    const from = Number.isFinite(want.min)
      ? want.min
      : Number.isFinite(want.max)
        ? want.max - 40_000 * DAY_MS
        : Date.UTC(1950, 0, 1)
    const countStep = Math.max(step, draw.apartMs)
    const to = Math.min(want.max, LAST_MS)
    const first = Math.ceil(from / step) * step + (want.minOpen ? step : 0)
    if (draw.ordinal !== null) {
      const at = first + draw.ordinal * countStep
      if (at > to || (want.maxOpen && at >= to)) throw new CannotMake('every value of a key is taken')
      return at
    }
    const count = Math.floor((Math.min(to, first + 40_000 * DAY_MS) - first) / step)
    return first + draw.random.int(0, Math.max(0, want.maxOpen ? count - 1 : count)) * step
  }
  return within(draw, FIRST_MS, LAST_MS, EPOCH_MS - SPAN_MS, EPOCH_MS - DAY_MS, step)
}

/** A multiple of `step` in the wanted bounds, of the usual ones where those permit. */
function within(draw: Draw, least: number, most: number, usualLow: number, usualHigh: number, step: number): number {
  const { want, random } = draw
  let low = Math.ceil(Math.max(least, want.min) / step)
  let high = Math.floor(Math.min(most, want.max) / step)
  if (want.minOpen && low * step <= want.min) low++
  if (want.maxOpen && high * step >= want.max) high--
  if (low > high) throw new CannotMake('no time is in the bounds')
  if (draw.unique) return (low + nth(draw, high - low + 1)) * step
  const [from, to] = [Math.ceil(usualLow / step), Math.floor(usualHigh / step)]
  if (Math.max(low, from) <= Math.min(high, to)) return random.int(Math.max(low, from), Math.min(high, to)) * step
  const span = Math.floor(SPAN_MS / step)
  const [a, b] = low > to ? [low, Math.min(high, low + span)] : [Math.max(low, high - span), high]
  return random.int(a, b) * step
}

const pad = (n: number, width: number): string => String(n).padStart(width, '0')

export function dateText(ms: number): string {
  const date = new Date(ms)
  return `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1, 2)}-${pad(date.getUTCDate(), 2)}`
}

export const timestampText = (ms: number): string => `${dateText(ms)} ${clockText(((ms % DAY_MS) + DAY_MS) % DAY_MS)}`

function clockText(ms: number): string {
  const seconds = Math.floor(ms / 1000)
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return `${pad(h, 2)}:${pad(m, 2)}:${pad(s, 2)}.${pad(Math.floor(ms % 1000), 3)}`
}
