/** Values of flags, read strictly: what cannot be understood is a usage error that names the flag. */
import { RehearsalError } from '../errors.js'
import { isMetric, METRICS, type Metric } from '../judge/budgets.js'
import { DisturbanceKind, type Budgets } from '../recording.js'
import { parseDuration } from '../scenario.js'
import { renderers, type Format } from '../report/index.js'

/** For the help text. */
export const METRIC_NAMES = Object.keys(METRICS).join(', ')

/** Node's timers cannot count further than 24.8 days, and nobody waits that long. */
const LONGEST_MS = 24 * 60 * 60_000

const usage = (message: string): RehearsalError => new RehearsalError('USAGE', { message })

export const wholeNumber =
  (flag: string, low: number, high = Number.MAX_SAFE_INTEGER) =>
  (text: string): number => {
    // Number() also reads '', 0x10 and 1e3.
    const value = /^\d[\d_]*$/.test(text) ? Number(text.replaceAll('_', '')) : NaN
    if (!Number.isSafeInteger(value) || value < low || value > high)
      throw usage(
        `${flag} must be a whole number ${high === Number.MAX_SAFE_INTEGER ? `of at least ${low}` : `from ${low} to ${high}`}, not "${text}"`,
      )
    return value
  }

export const positiveNumber =
  (flag: string, high: number) =>
  (text: string): number => {
    const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : NaN
    if (!(value > 0 && value <= high)) throw usage(`${flag} must be a number above 0 and up to ${high}, not "${text}"`)
    return value
  }

/** Milliseconds. `mustLast` refuses zero. */
export const duration =
  (flag: string, mustLast = false) =>
  (text: string): number => {
    const value = parseDuration(text)
    if (value !== null && mustLast && value === 0) throw usage(`${flag} must be longer than zero`)
    if (value !== null && value > LONGEST_MS) throw usage(`${flag} must be at most 24 hours, not "${text}"`)
    if (value === null) throw usage(`${flag} must be a duration such as 500ms, 30s or 5m, not "${text}"`)
    return value
  }

export const oneOf =
  <T extends string>(flag: string, values: readonly T[]) =>
  (text: string): T => {
    const value = values.find((v) => v === text)
    if (value === undefined) throw usage(`${flag} must be one of ${values.join(', ')}, not "${text}"`)
    return value
  }

/** `long-read,vacuum`; a folder after the flag is taken for its value. */
export function disturbances(text: string): DisturbanceKind[] {
  return [
    ...new Set(
      text.split(',').map((part) => {
        const kind = DisturbanceKind.options.find((known) => known === part.trim())
        if (kind === undefined)
          throw usage(
            `--disturb must be one or several of ${DisturbanceKind.options.join(', ')}, not "${part.trim()}" (folders come before it)`,
          )
        return kind
      }),
    ),
  ]
}

/** `html,json,md` */
export function formats(text: string): Format[] {
  const known = Object.keys(renderers) as Format[]
  return text.split(',').map((part) => oneOf('--format', known)(part.trim()))
}

/** A metric that is a ratio has plain numbers as limits: `query.slowdown=1.5`. */
const limitOf = (metric: Metric): ((text: string) => number) =>
  METRICS[metric].unit === 'ratio' ? positiveNumber(`--budget ${metric}`, 1_000) : duration(`--budget ${metric}`)

/** `lock.held=500ms` sets the failing limit; `lock.held=100ms:500ms` the warning and the failing one. Repeatable. */
export function budget(text: string, before: Budgets): Budgets {
  const [metric, value, ...rest] = text.split('=')
  if (metric === undefined || value === undefined || rest.length > 0 || !isMetric(metric))
    throw usage(`--budget must be <metric>=<limit>, with a metric of ${METRIC_NAMES}, not "${text}"`)
  const limits = value.split(':').map(limitOf(metric))
  const [first = 0, second] = limits
  if (second !== undefined && second < first)
    throw usage(`--budget ${metric}: the warning limit comes first and is not above the failing one, not "${value}"`)
  if (limits.length > 2) throw usage(`--budget ${metric}: one limit, or two as <warn>:<fail>, not "${value}"`)
  const warn = METRICS[metric].warn
  return {
    ...before,
    [metric]: second === undefined ? { warn: Math.min(warn, first), fail: first } : { warn: first, fail: second },
  }
}
