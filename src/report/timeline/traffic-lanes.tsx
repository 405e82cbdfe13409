/** The lanes of the traffic: latency and throughput. */
import { scaleLinear } from 'd3-scale'
import { line } from 'd3-shape'
import type { Report, TimedPass, TrafficSeries } from '../../recording.js'
import { formatCount, formatLimit, formatMs } from '../../units.js'
import { type Lane, LaneFrame, YTick } from './frame.js'
import { blockedBudget, joinBuckets, latencyScale, LEFT, type Plot, RIGHT, worstLatency } from './plot.js'

export interface Traffic {
  series: TrafficSeries[]
  bucketMs: number
}

/** Both releases in slices of the same width, few enough to draw. */
export const trafficOf = (timed: TimedPass): Traffic => {
  const joined = timed.series.map((one) => joinBuckets(one, timed.bucketMs))
  return { series: joined.map((one) => one.series), bucketMs: joined[0]?.bucketMs ?? timed.bucketMs }
}

export const compact = (values: readonly (number | null)[]): string =>
  values.map((value) => (value === null ? '' : String(Math.round(value * 10) / 10))).join(',')

export const px = (value: number): number => Math.round(value * 10) / 10

/** A curve over the slices; a slice without a value is a gap, not a zero. */
const Curve = (props: {
  plot: Plot
  bucketMs: number
  values: readonly (number | null)[]
  y: (value: number) => number
  class: string
  /** What the readout under the pointer calls it; a curve without a name is not read out. */
  name?: string
  unit?: 'ms' | '/s' | ''
}) => {
  const path = line<number | null>()
    .defined((value) => value !== null)
    .x((_, i) => px(props.plot.x((i + 0.5) * props.bucketMs)))
    .y((value) => px(props.y(value ?? 0)))(props.values)
  return (
    <path
      class={`curve ${props.class}`}
      d={path ?? ''}
      data-k={props.name}
      data-u={props.unit}
      data-v={props.name === undefined ? undefined : compact(props.values)}
    />
  )
}

export const known = (values: readonly (number | null)[]): number[] => values.filter((value) => value !== null)
export const peak = (values: readonly (number | null)[]): number => known(values).reduce((a, b) => Math.max(a, b), 0)

const LATENCY = 150

/** p50 and p99 (or the maximum) of each release on a log scale, with the limits on blocking. */
export const latencyLane = (report: Report, traffic: Traffic, plot: Plot): Lane => {
  const worst = worstLatency(traffic.series)
  const budget = blockedBudget(report)
  const limits = [
    ...(budget?.warn == null ? [] : [{ at: budget.warn, word: 'warn' }]),
    ...(budget?.fail == null ? [] : [{ at: budget.fail, word: 'fail' }]),
  ]
  const values = traffic.series.flatMap((one) => known([...one.p50Ms, ...worst.of(one)])).filter((value) => value > 0)
  const highest = peak(values)
  return {
    height: LATENCY,
    draw: (top) => {
      const { y, ticks } = latencyScale([...values, ...limits.map((limit) => limit.at)], top + 14, top + LATENCY - 12)
      return (
        <LaneFrame
          top={top}
          height={LATENCY}
          name="latency"
          unit={`p50 and ${worst.word}, log scale`}
          label={`Latency from the intended start, p50 and ${worst.word} of each release; the highest is ${values.length === 0 ? 'not measured' : formatMs(highest)}`}
        >
          {ticks.map((tick) => (
            <YTick y={y(tick)} text={formatLimit(tick, 'ms')} />
          ))}
          {limits.map((limit) => (
            <g>
              <line class={`limit ${limit.word}`} x1={LEFT} x2={RIGHT} y1={y(limit.at)} y2={y(limit.at)} />
              <text class={`limit-text ${limit.word}`} x={LEFT + 6} y={y(limit.at) - 4}>
                {`blocked: ${limit.word} above ${formatLimit(limit.at, 'ms')}`}
              </text>
            </g>
          ))}
          {traffic.series.map((one) => (
            <g>
              <Curve
                plot={plot}
                bucketMs={traffic.bucketMs}
                values={worst.of(one)}
                y={y}
                class={`${one.release} worst`}
                name={`${one.release} ${worst.word}`}
                unit="ms"
              />
              <Curve
                plot={plot}
                bucketMs={traffic.bucketMs}
                values={one.p50Ms}
                y={y}
                class={`${one.release} p50`}
                name={`${one.release} p50`}
                unit="ms"
              />
            </g>
          ))}
        </LaneFrame>
      )
    },
  }
}

const SMALL = 74

/** Operations that ended in each slice, with the arrivals as a thin line: they part where work piles up. */
export const throughputLane = (traffic: Traffic, plot: Plot): Lane => {
  // A release has no line before its first and after its last arrival.
  const perSecond = (column: readonly number[], one: TrafficSeries): (number | null)[] => {
    const first = one.scheduled.findIndex((n) => n > 0)
    const last = one.scheduled.findLastIndex((n) => n > 0)
    return column.map((n, i) => (n === 0 && (i < first || i > last) ? null : (n * 1000) / traffic.bucketMs))
  }
  const most = Math.max(
    1,
    ...traffic.series.map((one) => Math.max(peak(perSecond(one.completed, one)), peak(perSecond(one.scheduled, one)))),
  )
  return {
    height: SMALL,
    draw: (top) => {
      const y = scaleLinear([0, most], [top + SMALL - 8, top + 12])
      return (
        <LaneFrame
          top={top}
          height={SMALL}
          name="throughput"
          unit="operations a second"
          label={`Completed operations a second of each release, at most ${formatCount(most)}`}
        >
          <YTick y={y(0)} text="0" grid={false} />
          <YTick y={y(most)} text={formatCount(most)} />
          {traffic.series.map((one) => (
            <g>
              <Curve
                plot={plot}
                bucketMs={traffic.bucketMs}
                values={perSecond(one.scheduled, one)}
                y={y}
                class={`${one.release} scheduled`}
              />
              <Curve
                plot={plot}
                bucketMs={traffic.bucketMs}
                values={perSecond(one.completed, one)}
                y={y}
                class={`${one.release} p50`}
                name={`${one.release} done`}
                unit="/s"
              />
            </g>
          ))}
        </LaneFrame>
      )
    },
  }
}
