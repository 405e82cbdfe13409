/** The lanes of what hurts: blocked sessions and errors. */
import { scaleLinear } from 'd3-scale'
import { area, curveStepAfter } from 'd3-shape'
import type { Report, TimedPass, TrafficSeries } from '../../recording.js'
import { type Lane, LaneFrame, YTick } from './frame.js'
import { LEFT, type Plot, waitingSteps } from './plot.js'
import { compact, known, peak, px, type Traffic } from './traffic-lanes.js'

const SMALL = 74

/** Most sessions that waited for a lock at once; not drawn where nobody looked. */
export const blockedLane = (traffic: Traffic, plot: Plot): Lane => {
  const length = Math.max(0, ...traffic.series.map((one) => one.blocked.length))
  const total = Array.from({ length }, (_, i): number | null => {
    const here = known(traffic.series.map((one) => one.blocked[i] ?? null))
    return here.length === 0 ? null : here.reduce((a, b) => a + b, 0)
  })
  const most = peak(total)
  const looked = known(total).length > 0
  return {
    height: SMALL - 12,
    draw: (top) => {
      const height = SMALL - 12
      const y = scaleLinear([0, Math.max(1, most)], [top + height - 8, top + 12])
      const shape = area<number | null>()
        .defined((value) => value !== null)
        .x((_, i) => px(plot.x(i * traffic.bucketMs)))
        .y0(y(0))
        .y1((value) => px(y(value ?? 0)))
        .curve(curveStepAfter)(total)
      return (
        <LaneFrame
          top={top}
          height={height}
          name="blocked sessions"
          unit={looked ? 'waiting at once' : 'not measured'}
          label={looked ? `Sessions waiting for a lock at once, at most ${most}` : 'Blocked sessions were not measured'}
        >
          <YTick y={y(0)} text="0" grid={false} />
          {most > 0 ? <YTick y={y(most)} text={String(most)} /> : null}
          <path class="blocked" d={shape ?? ''} data-k="blocked" data-u="" data-v={compact(total)} />
        </LaneFrame>
      )
    },
  }
}

const ERRORS = 62

/** Failed and dropped operations; errors that the driver hid (0A000 prepared again) are a hollow band. */
export const errorLane = (report: Report, timed: TimedPass, traffic: Traffic, plot: Plot): Lane => {
  const length = Math.max(0, ...traffic.series.map((one) => one.failed.length))
  const add = (pick: (one: TrafficSeries) => readonly number[]): number[] =>
    Array.from({ length }, (_, i) => traffic.series.reduce((sum, one) => sum + (pick(one)[i] ?? 0), 0))
  const failed = add((one) => one.failed)
  const dropped = add((one) => one.dropped)
  const most = failed.reduce((a, n, i) => Math.max(a, n + (dropped[i] ?? 0)), 0)
  const hidden = timed.errors.filter((error) => error.hidden)
  const broken = report.findings
    .filter((finding) => finding.severity === 'fail')
    .flatMap((finding) => [finding.title, ...finding.evidence])
  const judged = timed.errors.some(
    (error) => !error.hidden && broken.some((text) => text.includes(error.error.sqlstate)),
  )
  return {
    height: ERRORS,
    draw: (top) => {
      const floor = top + ERRORS - 18
      const y = scaleLinear([0, Math.max(1, most)], [floor, top + 10])
      const width = Math.max(1, plot.x(plot.startMs + traffic.bucketMs) - LEFT - 0.6)
      return (
        <LaneFrame
          top={top}
          height={ERRORS}
          name="errors"
          unit="failed, dropped, hidden"
          label={`Errors in each slice, at most ${most}${hidden.length > 0 ? '; some were hidden by the driver' : ''}`}
        >
          <YTick y={floor} text="0" grid={false} />
          {most > 0 ? <YTick y={y(most)} text={String(most)} /> : null}
          {failed.map((n, i) => {
            const lost = dropped[i] ?? 0
            const x = plot.x(i * traffic.bucketMs)
            return n + lost === 0 ? null : (
              <g>
                <rect
                  class={judged ? 'failed broken' : 'failed'}
                  x={x}
                  width={width}
                  y={px(y(n))}
                  height={px(floor - y(n))}
                />
                <rect class="dropped" x={x} width={width} y={px(y(n + lost))} height={px(y(n) - y(n + lost))} />
              </g>
            )
          })}
          <path d="" data-k="failed" data-u="" data-v={compact(failed)} />
          {hidden.map((error) => (
            <g>
              <title>{`${error.error.sqlstate} hidden by the driver: ${error.count} of ${error.release} ${error.operation}`}</title>
              <rect
                class="hidden-error"
                x={plot.x(error.firstMs)}
                width={Math.max(2, plot.x(error.lastMs) - plot.x(error.firstMs))}
                y={floor + 4}
                height={6}
              />
            </g>
          ))}
        </LaneFrame>
      )
    },
  }
}

/** For the closer look: every listed wait, to the millisecond, as a count of sessions. */
export const waitingLane = (timed: TimedPass, plot: Plot): Lane => {
  const steps = waitingSteps(timed)
  const most = Math.max(0, ...steps.map((step) => step.count))
  return {
    height: SMALL,
    draw: (top) => {
      const y = scaleLinear([0, Math.max(1, most)], [top + SMALL - 8, top + 12])
      const shape = area<{ ms: number; count: number }>()
        .x((step) => px(plot.x(step.ms)))
        .y0(y(0))
        .y1((step) => px(y(step.count)))
        .curve(curveStepAfter)([
        { ms: plot.startMs, count: 0 },
        ...steps,
        { ms: plot.endMs, count: steps.at(-1)?.count ?? 0 },
      ])
      return (
        <LaneFrame
          top={top}
          height={SMALL}
          name="blocked sessions"
          unit="each listed wait"
          label={`Sessions waiting at once, at most ${most}`}
        >
          <YTick y={y(0)} text="0" grid={false} />
          {most > 0 ? <YTick y={y(most)} text={String(most)} /> : null}
          <path class="blocked" d={shape ?? ''} />
        </LaneFrame>
      )
    },
  }
}
