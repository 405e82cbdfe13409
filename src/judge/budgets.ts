/** What is measured against a limit, and the limits when nobody sets others (DESIGN, "Verdict"). Pure. */
import type { Budgets } from '../recording.js'

export const METRICS = {
  'lock.held': { label: 'conflicting lock held', unit: 'ms', warn: 100, fail: 1_000 },
  'operation.blocked': { label: 'longest wait behind the migration', unit: 'ms', warn: 200, fail: 2_000 },
  'query.slowdown': { label: 'query after / before', unit: 'ratio', warn: 1.5, fail: null },
  'statement.underLock': { label: 'statement under such a lock', unit: 'ms', warn: 5_000, fail: null },
} as const satisfies Record<string, { label: string; unit: 'ms' | 'ratio'; warn: number | null; fail: number | null }>

export type Metric = keyof typeof METRICS

export const isMetric = (name: string): name is Metric => Object.hasOwn(METRICS, name)

/** The limits of a metric: the recording's own where it has them, the defaults otherwise. */
export function limits(metric: Metric, budgets: Budgets): { warn: number | null; fail: number | null } {
  return budgets[metric] ?? { warn: METRICS[metric].warn, fail: METRICS[metric].fail }
}

/**
 * Where a measured bracket stands. A limit is crossed when the low end is beyond it: that is proved. When only the high
 * end is beyond the failing limit, the truth may be on either side, which is a warning.
 */
export function level(
  value: { low: number; high: number },
  limit: { warn: number | null; fail: number | null },
): 'ok' | 'warn' | 'fail' {
  if (limit.fail !== null && value.low > limit.fail) return 'fail'
  if (limit.warn !== null && value.low > limit.warn) return 'warn'
  if (limit.fail !== null && value.high > limit.fail) return 'warn'
  return 'ok'
}
