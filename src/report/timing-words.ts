/** How the timings of the queries are told, in the page and in Markdown. Pure. */
import type { PlanChange, PlanComparison, PlanNode, QueryTiming, Timing, TimingRatio } from '../recording.js'
import { formatCount, formatMs, formatRatio, plural } from '../units.js'

/** An operation with the releases that share its measurement. */
export interface TimingRow {
  timing: QueryTiming
  releases: string
}

/** Operations of the same name and measurement in both releases are one row. Slower ones first. */
export function timingRows(timings: readonly QueryTiming[]): TimingRow[] {
  const rows = new Map<string, QueryTiming[]>()
  for (const timing of timings) {
    const key = JSON.stringify({ ...timing, release: null })
    rows.set(key, [...(rows.get(key) ?? []), timing])
  }
  return [...rows.values()]
    .flatMap((group) => {
      const [timing] = group
      const releases = group.length > 1 ? 'both releases' : `${timing?.release ?? ''} release`
      return timing ? [{ timing, releases }] : []
    })
    .sort((a, b) => worst(b.timing) - worst(a.timing))
}

const worst = ({ ratio, settledRatio, before, after }: QueryTiming): number =>
  Math.max(ratio?.low ?? 0, settledRatio?.low ?? 0) ||
  (before && after ? after.medianMs / Math.max(0.001, before.medianMs) : 0)

/** A ratio whose whole interval is beyond this is another time, not noise. */
const SURELY = 1.2

const surely = (ratio: TimingRatio | null): boolean => ratio !== null && (ratio.low > SURELY || ratio.high < 1 / SURELY)

/** Another plan, or surely another time. */
export const isOther = ({ planChanged, plans, ratio, settledRatio }: QueryTiming): boolean =>
  planChanged === true ||
  plans.some((plan) => plan.changes.length + plan.lasting.length > 0) ||
  surely(ratio) ||
  surely(settledRatio)

export const wasTimed = ({ before, after }: QueryTiming): boolean => before !== null || after !== null

export interface RatioWords {
  value: string
  /** `0.94 – 1.10`; null when it is not known. */
  interval: string | null
}

const NO_RATIO: RatioWords = { value: '–', interval: null }

/** After the migration / before. */
export const ratioWords = ({ before, after, ratio }: QueryTiming): RatioWords => {
  if (ratio) return withInterval(ratio)
  if (!before || !after) return NO_RATIO
  return { value: formatRatio(after.medianMs / Math.max(0.001, before.medianMs)), interval: null }
}

/** After VACUUM ANALYZE / before. */
export const settledWords = ({ settledRatio }: QueryTiming): RatioWords =>
  settledRatio ? withInterval(settledRatio) : NO_RATIO

const withInterval = ({ value, low, high }: TimingRatio): RatioWords => ({
  value: formatRatio(value),
  interval: `${low.toFixed(2)} – ${high.toFixed(2)}`,
})

export const spreadWords = (timing: Timing | null): string =>
  timing === null ? '–' : `${formatMs(timing.medianMs)} ± ${formatMs(timing.madMs)}`

export interface ChangeWords {
  text: string
  /** `permanent`, `until autovacuum`, `from the next ANALYZE on`; null when it was not looked at again. */
  lasts: string | null
}

/** What is different, each said once, with how long. A number in it may differ from one look to the next. */
export function changeWords(plans: readonly PlanComparison[]): ChangeWords[] {
  const found = new Map<string, ChangeWords>()
  const key = (change: PlanChange): string => JSON.stringify([change.kind, change.relation, change.index])
  for (const { settled, changes, lasting } of plans) {
    const stays = new Set(lasting.map(key))
    for (const change of changes) {
      const lasts = settled === null ? null : stays.has(key(change)) ? 'permanent' : 'until autovacuum'
      found.set(key(change), { text: change.text, lasts })
    }
    for (const change of lasting)
      if (!changes.some((one) => key(one) === key(change)))
        found.set(key(change), { text: change.text, lasts: 'from the next ANALYZE on' })
  }
  return [...found.values()]
}

export const changeSentence = ({ text, lasts }: ChangeWords): string => (lasts === null ? text : `${text} (${lasts})`)

/** `Index Scan using a_idx on a: 4 rows, 5 expected`. */
export function nodeLine({ node, relation, index, rows, expectedRows, rowsRead }: PlanNode): string {
  const on = relation === null ? '' : ` on ${relation}`
  const using = index === null ? '' : ` using ${index}`
  const came =
    rows === null
      ? 'never ran'
      : `${plural(rows, 'row')}${expectedRows === null ? '' : `, ${formatCount(expectedRows)} expected`}`
  const read = rowsRead !== null && rows !== null && rowsRead > 2 * rows + 10 ? `, ${formatCount(rowsRead)} read` : ''
  return `${node}${using}${on}: ${came}${read}`
}
