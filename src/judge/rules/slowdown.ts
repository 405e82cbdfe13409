import type { Finding, QueryTiming, Timing, TimingRatio } from '../../recording.js'
import { level, limits } from '../budgets.js'
import type { Facts } from '../facts.js'
import { finding, ms, operationsInWords } from '../words.js'

/** Differences below this are the machine's, whatever their ratio. */
export const LEAST_MS = 1
/** Up to this ratio an operation is as fast as before. */
const AS_BEFORE = 1.2

export interface Slowdown {
  timing: QueryTiming
  /** Without and with the migration, at the time that `when` names. */
  before: Timing
  later: Timing
  when: 'right after' | 'after VACUUM ANALYZE'
  ratio: number
  /** The interval of the ratio; from the MADs where the rounds did not alternate. */
  lowRatio: number
  highRatio: number
  /** null when it was not measured again, or is not sure. */
  lasting: boolean | null
}

/** Operations that take at least LEAST_MS longer; each with the later or earlier ratio, whichever is the surer slowdown. */
export function slowdowns(facts: Facts): Slowdown[] {
  return (facts.quiet?.timings ?? []).flatMap((timing) => {
    const { before, after, settled } = timing
    if (!before) return []
    const one = (later: Timing | null, ratio: TimingRatio | null, when: Slowdown['when']): Slowdown[] =>
      later && later.medianMs - before.medianMs >= LEAST_MS
        ? [{ timing, before, later, when, ...bounds(before, later, ratio), lasting: lasts(timing) }]
        : []
    const found = [
      ...one(after, timing.ratio, 'right after'),
      ...one(settled, timing.settledRatio, 'after VACUUM ANALYZE'),
    ]
    return found.sort((a, b) => b.lowRatio - a.lowRatio).slice(0, 1)
  })
}

interface Bounds {
  ratio: number
  lowRatio: number
  highRatio: number
}

/** Without alternating rounds, twice the MAD is taken off the later median and added to the earlier one. */
function bounds(before: Timing, later: Timing, ratio: TimingRatio | null): Bounds {
  if (ratio) return { ratio: ratio.value, lowRatio: ratio.low, highRatio: ratio.high }
  const over = (a: number, b: number): number => Math.max(0, a) / Math.max(0.001, b)
  return {
    ratio: over(later.medianMs, before.medianMs),
    lowRatio: over(later.medianMs - 2 * later.madMs, before.medianMs + 2 * before.madMs),
    highRatio: over(later.medianMs + 2 * later.madMs, before.medianMs - 2 * before.madMs),
  }
}

function lasts({ before, settled, settledRatio }: QueryTiming): boolean | null {
  if (!before || !settled) return null
  const { ratio, lowRatio } = bounds(before, settled, settledRatio)
  if (ratio <= AS_BEFORE || settled.medianMs - before.medianMs < LEAST_MS) return false
  return lowRatio > AS_BEFORE ? true : null
}

/**
 * A query that is slower after the migration than its budget permits: the low end of what is known counts. Operations
 * that are one measurement, such as the same statement in both releases, are one finding.
 */
export function querySlower(facts: Facts): Finding[] {
  const limit = limits('query.slowdown', facts.recording.budgets)
  const groups = new Map<string, Slowdown[]>()
  for (const slow of slowdowns(facts)) {
    const { before, after, settled, ratio, settledRatio } = slow.timing
    const key = JSON.stringify(ratio ? [before, after, settled, ratio, settledRatio] : slow.timing)
    groups.set(key, [...(groups.get(key) ?? []), slow])
  }
  return [...groups.values()].flatMap((group) => {
    const [slow] = group
    const severity = slow ? level({ low: slow.lowRatio, high: slow.lowRatio }, limit) : 'ok'
    if (!slow || severity === 'ok') return []
    const { timing, before, later } = slow
    const until = slow.lasting === null ? '' : slow.lasting ? ', permanently' : ', until autovacuum'
    const names = new Set(group.map((one) => one.timing.operation))
    return [
      finding(
        'query-slower',
        severity,
        `${operationsInWords(group.map((one) => one.timing))} ${names.size === 1 ? 'takes' : 'take'} ${slow.ratio.toFixed(1)} times as long after the migration${until}`,
        {
          evidence: [
            `Median ${ms(before.medianMs)} before, ${ms(later.medianMs)} ${slow.when === 'right after' ? 'after' : slow.when} (${later.samples} runs each, at rest).`,
            ...intervalSentence(slow),
            ...planSentences(timing),
            lastingSentence(slow),
          ],
          advice:
            slow.lasting === true || slow.when !== 'right after'
              ? null
              : { text: 'Run VACUUM ANALYZE on the table right after the migration.', sql: null },
        },
      ),
    ]
  })
}

const intervalSentence = ({ timing, when, lowRatio, highRatio }: Slowdown): string[] => {
  const ratio = when === 'right after' ? timing.ratio : timing.settledRatio
  return ratio
    ? [
        `Between ${lowRatio.toFixed(2)} and ${highRatio.toFixed(2)} times, from ${ratio.rounds} rounds on two copies in turn.`,
      ]
    : []
}

const MOST_CHANGES = 4

function planSentences({ planChanged, plans }: QueryTiming): string[] {
  const changes = [...new Set(plans.flatMap((plan) => plan.changes.map((change) => change.text)))]
  if (changes.length > 0) return [`Its plan: ${changes.slice(0, MOST_CHANGES).join('; ')}.`]
  return planChanged === null ? [] : [planChanged ? 'Its plan changed.' : 'Its plan is the same.']
}

function lastingSentence({ timing: { settled, settledRatio }, lasting, when }: Slowdown): string {
  if (!settled) return 'Whether it lasts was not measured.'
  if (when !== 'right after') return 'It lasts: this is with statistics up to date.'
  if (lasting === true) return `It lasts: after VACUUM ANALYZE it still takes ${ms(settled.medianMs)}.`
  if (lasting === false)
    return `It lasts until vacuum or analyze: after VACUUM ANALYZE it takes ${ms(settled.medianMs)}.`
  const known = settledRatio
    ? `between ${settledRatio.low.toFixed(2)} and ${settledRatio.high.toFixed(2)} times`
    : ms(settled.medianMs)
  return `Whether it lasts is not sure: after VACUUM ANALYZE it takes ${known}.`
}
