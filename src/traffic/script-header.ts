/** The first line of an operation: `-- name: get_user; weight: 10; prepared: yes; think: 20ms`. */
import { RehearsalError } from '../errors.js'

export interface Header {
  name: string
  weight: number
  prepared: boolean
  /** Arrivals of its own, 1/s at full traffic, in place of a weight. */
  ratePerSecond?: number
  thinkMs?: number
  line: number
}

/** Nobody's application computes for longer between two statements of one request. */
export const MOST_THINK_MS = 3_600_000
export const MOST_RATE = 100_000
/** What a weight and a rate together are answered with. */
export const WEIGHT_OR_RATE = 'an operation has a weight (its share of the rate) or a rate of its own, not both'

const THINK_UNITS: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1_000, m: 60_000 }

const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_ ./-]{0,62}$/u

/** Whether a comment begins a section. */
export const isHeader = (comment: string): boolean => /^--\s*name\s*:/i.test(comment)

/** Reads `key: value` pairs between semicolons. Throws SCRIPT_INVALID with file and line. */
export function parseHeader(comment: string, file: string, line: number): Header {
  const fail = (message: string): never => {
    throw new RehearsalError('SCRIPT_INVALID', { file, line, message })
  }
  const header: Header = { name: '', weight: 1, prepared: true, line }
  const seen = new Set<string>()
  for (const part of comment.replace(/^--/, '').split(';')) {
    if (part.trim() === '') continue
    const [, key = '', value = ''] =
      /^\s*([^:\s]+)\s*:\s*(.*?)\s*$/.exec(part) ?? fail(`"${part.trim()}" is not "key: value"`)
    if (seen.has(key.toLowerCase())) fail(`${key} is given twice`)
    seen.add(key.toLowerCase())
    if (key.toLowerCase() === 'name') {
      if (!NAME.test(value)) fail('an operation needs a name of letters, digits and _ . / - (at most 63)')
      header.name = value
    } else if (key === 'weight') {
      header.weight = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN
      if (!(header.weight > 0 && header.weight <= 1e9)) fail(`weight must be a positive number, not "${value}"`)
    } else if (key === 'prepared') {
      if (value !== 'yes' && value !== 'no') fail(`prepared must be yes or no, not "${value}"`)
      header.prepared = value === 'yes'
    } else if (key === 'rate') {
      const rate = /^\d+(\.\d+)?$/.test(value) ? Number(value) : NaN
      if (!(rate > 0 && rate <= MOST_RATE))
        fail(`rate must be a positive number of operations a second, not "${value}"`)
      header.ratePerSecond = rate
    } else if (key === 'think') {
      const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)(us|ms|s|m)$/.exec(value) ?? []
      const thinkMs = number === '' ? NaN : Number(number) * (THINK_UNITS[unit] ?? NaN)
      if (!(thinkMs <= MOST_THINK_MS)) fail(`think must be a duration such as 20ms, at most an hour, not "${value}"`)
      header.thinkMs = thinkMs
    } else fail(`unknown key "${key}" (name, weight, rate, think and prepared are known)`)
  }
  if (seen.has('weight') && seen.has('rate')) fail(WEIGHT_OR_RATE)
  return header
}
