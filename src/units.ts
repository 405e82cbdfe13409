/** How numbers are written, for every output: HTML, Markdown and the terminal. `null` is always "not measured". */
import type { Bracket, BudgetResult, Projection } from './recording.js'

export const NOT_MEASURED = 'not measured'

/** Removes binary noise so that rounding up does not turn 2.0000000001 into 3. */
const clean = (value: number): number => Number(value.toPrecision(12))
const decimals = (step: number): number => Math.max(0, -Math.floor(Math.log10(step) + 1e-9))

/** A duration: `0.4 ms`, `3.2 ms`, `312 ms`, `3.10 s`, `13.0 s`, `2 min 05 s`, `1 h 05 min`. */
export const formatMs = (ms: number | null): string => {
  if (ms === null) return NOT_MEASURED
  if (ms < 0) return `-${formatMs(-ms)}`
  if (ms === 0) return '0 ms'
  if (ms < 0.05) return '< 0.1 ms'
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${ms.toFixed(0)} ms`
  if (ms < 9_995) return `${(ms / 1000).toFixed(2)} s`
  if (ms < 59_950) return `${(ms / 1000).toFixed(1)} s`
  const seconds = Math.round(ms / 1000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)} min ${String(seconds % 60).padStart(2, '0')} s`
  const minutes = Math.round(seconds / 60)
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** A limit as somebody wrote it: `200 ms`, `2 s`, `1.5 s`. */
const formatLimitMs = (ms: number): string =>
  ms >= 1000 && ms < 60_000 ? `${String(clean(ms / 1000))} s` : ms < 1000 ? `${String(clean(ms))} ms` : formatMs(ms)

/** A half width, rounded up: to 0.1 ms below 1 ms, to 1 ms below 10 ms, to two digits above. */
const formatHalf = (ms: number): string => {
  const step = ms <= 1 ? 0.1 : ms <= 10 ? 1 : 10 ** (Math.floor(Math.log10(ms)) - 1)
  const up = clean(Math.ceil(clean(ms / step)) * step)
  if (up < 1000) return `${String(up)} ms`
  return `${String(clean(Math.ceil(clean(up / 100)) / 10))} s`
}

/** The middle of a bracket at a given step, in ms below a second and in s above it. */
const formatAt = (ms: number, step: number): string => {
  if (ms < 1000) return `${ms.toFixed(decimals(Math.min(step, 1)))} ms`
  if (ms >= 60_000) return formatMs(ms)
  const text = (ms / 1000).toFixed(Math.min(3, decimals(step / 1000)))
  // A third decimal that says nothing is left away: 3.100 s is 3.10 s.
  return `${/\.\d\d0$/.test(text) ? text.slice(0, -1) : text} s`
}

/** Rounded outwards: for ranges, whose ends must not come closer than what is known. */
const formatEnd = (ms: number, round: (value: number) => number): string => {
  const step = ms < 10 ? 0.1 : ms < 1000 ? 1 : ms < 10_000 ? 10 : ms < 60_000 ? 100 : 1000
  return formatMs(clean(round(clean(ms / step)) * step))
}

/** Two ends of a range with the unit written once where both have it: `1.0 – 12 ms`. */
export const formatRange = (lowMs: number, highMs: number): string => {
  const [low, high] = [formatEnd(lowMs, Math.floor), formatEnd(highMs, Math.ceil)]
  if (low === high) return low
  const unit = / (ms|s)$/.exec(high)?.[0]
  return unit !== undefined && low.endsWith(unit) && !low.includes('min') && !high.includes('min')
    ? `${low.slice(0, -unit.length)} – ${high}`
    : `${low} – ${high}`
}

/**
 * A duration known to lie between two values: `3.10 s ± 2 ms`. What is written always contains the bracket: the half
 * width is rounded up and covers the rounding of the middle. A bracket that reaches zero reads `< 12 ms`; one that is
 * wide for its size reads as a range.
 */
export const formatBracket = (bracket: Bracket | null): string => {
  if (bracket === null) return NOT_MEASURED
  const { lowMs, highMs } = bracket
  if (highMs <= 0) return '0 ms'
  if (lowMs <= 0) return `< ${formatEnd(highMs, Math.ceil)}`
  const middle = (lowMs + highMs) / 2
  const half = (highMs - lowMs) / 2
  if (half > middle / 4) return formatRange(lowMs, highMs)
  const finest = middle < 1000 ? 0.1 : middle < 60_000 ? 1 : 1000
  const step = Math.max(finest, 10 ** Math.floor(Math.log10(Math.max(half, 0.1)) + 1e-9))
  const shown = clean(Math.round(clean(middle / step)) * step)
  const covers = clean(Math.max(shown - lowMs, highMs - shown))
  return covers <= 0 ? formatAt(shown, step) : `${formatAt(shown, step)} ± ${formatHalf(covers)}`
}

/** A size in the manner of pg_size_pretty: 1 kB is 1,024 bytes. */
export const formatBytes = (bytes: number | null): string => {
  if (bytes === null) return NOT_MEASURED
  const size = Math.abs(bytes)
  if (size < 1024) return `${bytes} B`
  const steps = ['kB', 'MB', 'GB', 'TB'] as const
  let value = bytes / 1024
  let i = 0
  while (Math.abs(value) >= 999.5 && i < steps.length - 1) {
    value /= 1024
    i++
  }
  return `${Math.abs(value) < 9.95 ? value.toFixed(1) : value.toFixed(0)} ${steps[i] ?? 'TB'}`
}

/** A count with a comma for every thousand. */
export const formatCount = (count: number | null): string =>
  count === null
    ? NOT_MEASURED
    : Math.round(count)
        .toString()
        .replace(/\B(?=(\d{3})+$)/g, ',')

/** A quotient of two measurements: `1.50×`. */
export const formatRatio = (ratio: number | null): string => (ratio === null ? NOT_MEASURED : `${ratio.toFixed(2)}×`)

/** A share from 0 to 1: `22 %`. */
export const formatShare = (share: number | null): string =>
  share === null ? NOT_MEASURED : `${(share * 100).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`

/** `1 session`, `2 sessions`, `1,204 rows`. */
export const plural = (count: number, one: string, many = `${one}s`): string =>
  `${formatCount(count)} ${count === 1 ? one : many}`

/** One limit of a budget: `200 ms`, `1.5×`, or a dash where there is none. */
export const formatLimit = (limit: number | null, unit: BudgetResult['unit']): string =>
  limit === null ? '–' : unit === 'ratio' ? `${String(limit)}×` : formatLimitMs(limit)

/** What was measured against a budget, with its bound where it has one. */
export const formatMeasured = (budget: BudgetResult): string => {
  const { measured, low, high } = budget
  if (measured === null) return NOT_MEASURED
  if (budget.unit === 'ratio') return formatRatio(measured)
  return low === null || high === null ? formatMs(measured) : formatBracket({ lowMs: low, highMs: high })
}

/** A projection in words; the reader must see that it is none of the measured values. */
export const formatProjection = (projection: Projection): string =>
  `projected: ${formatRange(projection.lowMs, projection.highMs)} at ${formatCount(projection.rowsInProduction)} rows`

/** Where a projection comes from, in one sentence. */
export const explainProjection = (projection: Projection): string =>
  `Projected, not measured: the ${projection.work} of ${projection.relation} took ${formatMs(projection.measuredMs)} for ` +
  `${plural(projection.rowsHere, 'row')} here; ${plural(projection.rowsInProduction, 'row')} in production would take ` +
  `${formatRange(projection.lowMs, projection.highMs)}.`
