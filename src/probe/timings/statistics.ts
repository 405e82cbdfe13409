/** What is said of samples: medians and their spread, and how sure a ratio of two of them is. Pure. */
import type { Timing, TimingRatio } from '../../recording.js'

/** NaN without values. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? NaN) + high) / 2
}

/** Median and median absolute deviation; null without samples. */
export function timingOf(samples: readonly number[]): Timing | null {
  if (samples.length === 0) return null
  const medianMs = median(samples)
  return { samples: samples.length, medianMs, madMs: median(samples.map((one) => Math.abs(one - medianMs))) }
}

/** The chance that the interval does not hold the truth must be at most this. */
const MOST_DOUBT = 0.05

/**
 * Which of n values in order are the ends of the median's interval: the k-th and the k-th last, k from 1. The median of
 * the distribution is below the k-th smallest value with the probability that fewer than k of n coins show heads, so the
 * interval misses it with 2 * P(Binomial(n, 1/2) < k). Null when even the smallest and largest miss it too often (n < 6).
 * W. J. Conover, "Practical Nonparametric Statistics", the sign test's confidence interval for a quantile.
 */
export function medianInterval(n: number): number | null {
  let chance = 0.5 ** n
  let below = 0
  for (let k = 1; k <= n; k++) {
    below += chance
    if (2 * below > MOST_DOUBT) return k === 1 ? null : k - 1
    chance *= (n - k + 1) / k
  }
  return null
}

/** The shortest time that can be told from nothing, so that nothing is divided by zero. */
const SHORTEST_MS = 0.001

/**
 * after / before from the samples of each round; null with fewer than six rounds. The ratio of a round is that of its
 * two medians: a round that was disturbed on one side is one bad value among the rounds, however bad.
 */
export function ratioOf(before: readonly number[][], after: readonly number[][]): TimingRatio | null {
  const ratios = before.flatMap((samples, round) => {
    const other = after[round] ?? []
    return samples.length === 0 || other.length === 0
      ? []
      : [Math.max(SHORTEST_MS, median(other)) / Math.max(SHORTEST_MS, median(samples))]
  })
  const k = medianInterval(ratios.length)
  if (k === null) return null
  const sorted = ratios.sort((a, b) => a - b)
  return { value: median(sorted), low: sorted[k - 1] ?? NaN, high: sorted.at(-k) ?? NaN, rounds: sorted.length }
}
