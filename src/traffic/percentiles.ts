import type { Percentiles } from '../recording.js'

/** Fewest samples for a 95th and a 99th percentile: below, they would just be the largest value. */
const MIN_P95 = 20
const MIN_P99 = 100

/**
 * Nearest-rank percentile: the smallest value with at least the share `p` of all values at or below it (Hyndman & Fan,
 * "Sample Quantiles in Statistical Packages", type 1). NaN for no values.
 */
export function nearestRank(sorted: ArrayLike<number>, p: number): number {
  const rank = Math.max(1, Math.ceil(p * sorted.length - 1e-9))
  return sorted[rank - 1] ?? NaN
}

/** Microseconds are kept, the noise of 32-bit numbers is not. */
export const rounded = (ms: number): number => Math.round(ms * 1000) / 1000

/** null when there is no value. */
export function percentilesOf(values: readonly number[]): Percentiles | null {
  if (values.length === 0) return null
  const sorted = Float64Array.from(values).sort()
  return {
    samples: sorted.length,
    p50Ms: rounded(nearestRank(sorted, 0.5)),
    p95Ms: sorted.length >= MIN_P95 ? rounded(nearestRank(sorted, 0.95)) : null,
    p99Ms: sorted.length >= MIN_P99 ? rounded(nearestRank(sorted, 0.99)) : null,
    maxMs: rounded(nearestRank(sorted, 1)),
  }
}
