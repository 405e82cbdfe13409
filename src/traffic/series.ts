/** Traffic in equal slices of time. Pure. */
import type { Release, TrafficSeries } from '../recording.js'
import { nearestRank, rounded } from './percentiles.js'
import { DROPPED, OK, type TrafficSamples } from './samples.js'

const at = (column: ArrayLike<number>, i: number): number => column[i] ?? NaN

const WIDTHS_MS = [100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 30_000, 60_000]
const MAX_BUCKETS = 1_000

/** The narrowest round width, at least 100 ms, of which at most 1,000 cover the time up to `endMs`. */
export function bucketWidth(endMs: number): number {
  const fits = WIDTHS_MS.find((width) => endMs <= width * MAX_BUCKETS)
  return fits ?? Math.ceil(endMs / MAX_BUCKETS / 60_000) * 60_000
}

/**
 * Series per release from instant 0 to `endMs`, in buckets of `bucketWidth(endMs)`; what ends later is counted in the last
 * one. `blocked` is null: others measure that.
 */
export function trafficSeries(samples: TrafficSamples, endMs: number): TrafficSeries[] {
  const bucketMs = bucketWidth(endMs)
  const buckets = Math.max(1, Math.ceil(endMs / bucketMs))
  const bucketOf = (ms: number): number => Math.min(buckets - 1, Math.max(0, Math.floor(ms / bucketMs)))
  const releases = [...new Set(samples.operations.map(({ release }) => release))]
  return releases.map((release) => seriesOf(samples, release, buckets, bucketOf))
}

function seriesOf(
  samples: TrafficSamples,
  release: Release,
  buckets: number,
  bucketOf: (ms: number) => number,
): TrafficSeries {
  const zeros = (): number[] => Array.from({ length: buckets }, () => 0)
  const [scheduled, completed, failed, dropped] = [zeros(), zeros(), zeros(), zeros()]
  const latencies = Array.from({ length: buckets }, (): number[] => [])
  const increment = (column: number[], bucket: number): void => {
    column[bucket] = (column[bucket] ?? 0) + 1
  }
  const ours = samples.operations.map((operation) => operation.release === release)
  for (let i = 0; i < samples.length; i++) {
    if (!ours[at(samples.operation, i)]) continue
    const intendedMs = at(samples.intendedMs, i)
    const latencyMs = at(samples.latencyMs, i)
    increment(scheduled, bucketOf(intendedMs))
    if (samples.outcome[i] === DROPPED) {
      increment(dropped, bucketOf(intendedMs))
      continue
    }
    const bucket = bucketOf(intendedMs + latencyMs)
    increment(samples.outcome[i] === OK ? completed : failed, bucket)
    latencies[bucket]?.push(latencyMs)
  }
  const sorted = latencies.map((values) => Float64Array.from(values).sort())
  const quantile = (p: number): (number | null)[] =>
    sorted.map((values) => (values.length ? rounded(nearestRank(values, p)) : null))
  return {
    release,
    scheduled,
    completed,
    failed,
    dropped,
    p50Ms: quantile(0.5),
    p99Ms: quantile(0.99),
    maxMs: quantile(1),
    blocked: sorted.map(() => null),
  }
}
