/** Limits of a scenario made whole with the usual ones. */
import { limits, type Metric } from '../judge/budgets.js'
import type { Budgets } from '../recording.js'
import type { ScenarioSettings } from './schema.js'

/**
 * A number is the failing limit. A limit that is not given keeps its usual value, but a warning never lies above the
 * failing limit, where it could not be seen.
 */
export function toBudgets(given: ScenarioSettings['budgets']): Budgets {
  const budgets: Budgets = {}
  for (const [name, value] of Object.entries(given ?? {})) {
    // The schema let only names of metrics through.
    const usual = limits(name as Metric, {})
    const { warn, fail = usual.fail } = typeof value === 'number' ? { fail: value } : value
    const usualWarn = usual.warn === null || fail === null ? usual.warn : Math.min(usual.warn, fail)
    budgets[name] = { warn: warn === undefined ? usualWarn : warn, fail }
  }
  return budgets
}
