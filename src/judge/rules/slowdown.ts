import type { Finding, QueryTiming } from '../../recording.js'
import { level, limits } from '../budgets.js'
import type { Facts } from '../facts.js'
import { finding, ms } from '../words.js'

/** Differences below this are the machine's, whatever their ratio. */
export const LEAST_MS = 1

export interface Slowdown {
  timing: QueryTiming
  ratio: number
  /** Ratio with twice the MAD taken off the later median and added to the earlier one. */
  lowRatio: number
  highRatio: number
  lasting: boolean | null
}

/** Ratio of the medians after and before, with the bound that twice the MADs give. */
export function slowdowns(facts: Facts): Slowdown[] {
  return (facts.quiet?.timings ?? []).flatMap((timing) => {
    const { before, after, settled } = timing
    if (!after || after.medianMs - before.medianMs < LEAST_MS) return []
    const ratio = (a: number, b: number): number => Math.max(0, a) / Math.max(0.001, b)
    const lowRatio = ratio(after.medianMs - 2 * after.madMs, before.medianMs + 2 * before.madMs)
    const settledRatio = settled
      ? ratio(settled.medianMs - 2 * settled.madMs, before.medianMs + 2 * before.madMs)
      : null
    return [
      {
        timing,
        ratio: ratio(after.medianMs, before.medianMs),
        lowRatio,
        highRatio: ratio(after.medianMs + 2 * after.madMs, before.medianMs - 2 * before.madMs),
        lasting: settledRatio === null ? null : settledRatio > 1.2,
      },
    ]
  })
}

/** A query that is slower after the migration than its budget permits. */
export function querySlower(facts: Facts): Finding[] {
  const limit = limits('query.slowdown', facts.recording.budgets)
  return slowdowns(facts).flatMap((slow) => {
    const severity = level({ low: slow.lowRatio, high: slow.lowRatio }, limit)
    if (severity === 'ok') return []
    const { timing } = slow
    const { after, settled } = timing
    return [
      finding(
        'query-slower',
        severity,
        `${timing.operation} (${timing.release} release) takes ${slow.ratio.toFixed(1)} times as long after the migration`,
        {
          evidence: [
            `Median ${ms(timing.before.medianMs)} before, ${ms(after?.medianMs ?? null)} after (${timing.before.samples} runs each, at rest).`,
            timing.planChanged === true ? 'Its plan changed.' : 'Its plan is the same.',
            settled === null
              ? 'Whether it lasts was not measured.'
              : slow.lasting
                ? `It lasts: after VACUUM ANALYZE it still takes ${ms(settled.medianMs)}.`
                : `It lasts until vacuum or analyze: after VACUUM ANALYZE it takes ${ms(settled.medianMs)}.`,
          ],
          advice: slow.lasting
            ? null
            : { text: 'Run VACUUM ANALYZE on the table right after the migration.', sql: null },
        },
      ),
    ]
  })
}
