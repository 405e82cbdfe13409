/** The geometry of the timeline: where an instant lies, what fits, which rows there are. Pure. */
import { scaleLinear, scaleLog } from 'd3-scale'
import type { BudgetResult, LockSpan, Report, TimedPass, TrafficSeries } from '../../recording.js'
import { conflicts } from '../view.js'

/** User units of the drawing; it is shown 1:1 on a wide page and scaled below. */
export const WIDTH = 1060
export const LEFT = 236
export const RIGHT = 1046
/** A 3 ms ACCESS EXCLUSIVE on an axis of a minute must still be seen. */
export const MIN_BAR = 2

export interface Plot {
  /** Makes ids unique when there are two drawings in a page. */
  id: string
  startMs: number
  endMs: number
  x: (ms: number) => number
  ticks: number[]
}

export const plotOf = (id: string, startMs: number, endMs: number): Plot => {
  const scale = scaleLinear([startMs, Math.max(endMs, startMs + 0.1)], [LEFT, RIGHT]).clamp(true)
  return { id, startMs, endMs, x: (ms) => Math.round(scale(ms) * 100) / 100, ticks: scale.ticks(8) }
}

/** Left edge and width of a bar, never thinner than MIN_BAR and never outside the plot. */
export const bar = (plot: Plot, fromMs: number, toMs: number): { x: number; width: number } => {
  const from = plot.x(fromMs)
  const width = Math.round(Math.max(MIN_BAR, plot.x(toMs) - from) * 100) / 100
  return { x: Math.min(from, RIGHT - width), width }
}

/** Rough width of text in a system font; good enough to decide whether a label fits. */
export const textWidth = (text: string, size: number): number => Array.from(text).length * size * 0.6

/** The end of the pass as it is drawn. */
export const endOf = (timed: TimedPass): number =>
  Math.max(1, timed.migration.endMs, ...timed.phases.map((phase) => phase.endMs))

/** One row of the lock lane: every span of one relation in one mode. */
export interface LockRow {
  relation: string
  mode: string
  spans: LockSpan[]
  /** Waits for something that is no relation, e.g. CONCURRENTLY for old snapshots. */
  waits: { fromMs: number; toMs: number; title: string }[]
}

const longest = (row: LockRow): number =>
  Math.max(0, ...row.spans.map((span) => span.heldMs?.highMs ?? span.waitedMs.highMs))
const meetsTraffic = (row: LockRow): number =>
  row.spans.some(conflicts) ? 2 : row.spans.some((one) => one.existedBefore) ? 1 : 0

/** Lock rows, those that traffic can meet first, then by the longest hold. */
export const lockRows = (timed: TimedPass): LockRow[] => {
  const rows = new Map<string, LockRow>()
  const rowOf = (relation: string, mode: string): LockRow => {
    const key = `${relation}\n${mode}`
    const row = rows.get(key) ?? { relation, mode, spans: [], waits: [] }
    rows.set(key, row)
    return row
  }
  for (const span of timed.locks) rowOf(span.relation, span.mode).spans.push(span)
  for (const wait of timed.migrationWaits) {
    if (wait.lockType === 'relation') continue
    rowOf(wait.relation ?? 'waits for', wait.lockType).waits.push({
      fromMs: wait.startMs.lowMs,
      toMs: wait.endMs.highMs,
      title: wait.waitedFor.join(', '),
    })
  }
  return [...rows.values()].sort((a, b) => meetsTraffic(b) - meetsTraffic(a) || longest(b) - longest(a))
}

/** The part of the pass that needs a closer look, or null when everything is wide enough as it is. */
export const zoomWindow = (timed: TimedPass): { startMs: number; endMs: number } | null => {
  const whole = plotOf('', 0, endOf(timed))
  const bars = [
    ...timed.migration.statements.map((run) => [run.startMs, run.endMs] as const),
    ...timed.locks.filter(conflicts).map((span) => [span.askedMs.lowMs, span.releasedMs.highMs] as const),
  ]
  if (bars.length === 0) return null
  const startMs = Math.min(...bars.map(([from]) => from))
  const endMs = Math.max(...bars.map(([, to]) => to))
  const margin = Math.max(1, (endMs - startMs) * 0.08)
  const window = { startMs: Math.max(0, startMs - margin), endMs: endMs + margin }
  const thin = bars.some(([from, to]) => whole.x(to) - whole.x(from) < 8)
  return thin && window.endMs - window.startMs < 0.6 * (whole.endMs - whole.startMs) ? window : null
}

const MAX_BUCKETS = 800

/** At most 800 slices, whatever the length: neighbours are joined, counts added, latencies and queues by their worst. */
export const joinBuckets = (series: TrafficSeries, bucketMs: number): { series: TrafficSeries; bucketMs: number } => {
  const join = Math.ceil(series.completed.length / MAX_BUCKETS)
  if (join <= 1) return { series, bucketMs }
  const slices = <T>(column: readonly T[]): T[][] =>
    Array.from({ length: Math.ceil(column.length / join) }, (_, i) => column.slice(i * join, (i + 1) * join))
  const sum = (column: readonly number[]): number[] => slices(column).map((part) => part.reduce((a, b) => a + b, 0))
  const worst = (column: readonly (number | null)[]): (number | null)[] =>
    slices(column).map((part) => {
      const known = part.filter((value) => value !== null)
      return known.length === 0 ? null : Math.max(...known)
    })
  return {
    bucketMs: bucketMs * join,
    series: {
      release: series.release,
      scheduled: sum(series.scheduled),
      completed: sum(series.completed),
      failed: sum(series.failed),
      dropped: sum(series.dropped),
      p50Ms: worst(series.p50Ms),
      p99Ms: worst(series.p99Ms),
      maxMs: worst(series.maxMs),
      blocked: worst(series.blocked),
    },
  }
}

/** p99 where most slices have enough samples for it, else the maximum. */
export const worstLatency = (
  all: readonly TrafficSeries[],
): { word: string; of: (one: TrafficSeries) => (number | null)[] } => {
  const count = (column: readonly (number | null)[]): number => column.filter((value) => value !== null).length
  const p99 = all.reduce((n, one) => n + count(one.p99Ms), 0)
  const max = all.reduce((n, one) => n + count(one.maxMs), 0)
  return p99 > 0 && p99 >= max / 2 ? { word: 'p99', of: (one) => one.p99Ms } : { word: 'max', of: (one) => one.maxMs }
}

/** A log axis over whole decades that holds every value and the limits. */
export const latencyScale = (values: readonly number[], top: number, bottom: number) => {
  const low = Math.max(0.1, Math.min(1, ...values))
  const high = Math.max(10, ...values)
  const domain = [10 ** Math.floor(Math.log10(low)), 10 ** Math.ceil(Math.log10(high * 1.02))] as const
  const decades = Math.round(Math.log10(domain[1] / domain[0]))
  return {
    y: scaleLog(domain, [bottom, top]).clamp(true),
    ticks: Array.from({ length: decades + 1 }, (_, i) => domain[0] * 10 ** i),
  }
}

/** The budget on how long an operation may be blocked: its lines belong into the latency lane. */
export const blockedBudget = (report: Report): BudgetResult | null =>
  report.budgets.find((one) => one.metric === 'operation.blocked') ?? null

/** The budget on how long a conflicting lock may be held: what crosses it is drawn red. */
export const heldBudget = (report: Report): BudgetResult | null =>
  report.budgets.find((one) => one.metric === 'lock.held') ?? null

/** How many sessions waited at once, as steps, from the waits one by one (middle of each bracket). */
export const waitingSteps = (timed: TimedPass): { ms: number; count: number }[] => {
  const changes = timed.waits.flatMap((wait) => [
    { ms: (wait.startMs.lowMs + wait.startMs.highMs) / 2, by: 1 },
    { ms: (wait.endMs.lowMs + wait.endMs.highMs) / 2, by: -1 },
  ])
  let count = 0
  return changes
    .sort((a, b) => a.ms - b.ms || a.by - b.by)
    .map(({ ms, by }) => {
      count += by
      return { ms, count }
    })
}
