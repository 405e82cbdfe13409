/** The heart of the report: everything that happened in the timed pass on one time axis. */
import type { ComponentChildren } from 'preact'
import type { TimedPass } from '../../recording.js'
import { formatMs } from '../../units.js'
import { phaseWord, type View } from '../view.js'
import { AXIS_HEIGHT, Hatch, type Lane, PHASE_HEIGHT, Phases, Shading, TimeAxis } from './frame.js'
import { lockLane, statementLane } from './migration-lanes.js'
import { endOf, type Plot, plotOf, WIDTH, worstLatency, zoomWindow } from './plot.js'
import { latencyLane, throughputLane, trafficOf } from './traffic-lanes.js'
import { blockedLane, errorLane, waitingLane } from './trouble-lanes.js'

const Drawing = (props: {
  plot: Plot
  timed: TimedPass
  lanes: Lane[]
  title: string
  tick: (ms: number) => string
  bucketMs: number
  children?: ComponentChildren
}) => {
  const tops: number[] = []
  let bottom = PHASE_HEIGHT
  for (const lane of props.lanes) {
    tops.push(bottom)
    bottom += lane.height
  }
  const { plot } = props
  return (
    <div class="scroll chart" tabIndex={0} role="region" aria-label={props.title}>
      <svg
        viewBox={`0 0 ${WIDTH} ${bottom + AXIS_HEIGHT}`}
        role="group"
        aria-label={props.title}
        data-from={plot.startMs.toFixed(2)}
        data-to={plot.endMs.toFixed(2)}
        data-left={plot.x(plot.startMs)}
        data-right={plot.x(plot.endMs)}
        data-bucket={props.bucketMs}
      >
        <title>{props.title}</title>
        <Hatch plot={plot} />
        <Shading plot={plot} timed={props.timed} bottom={bottom} />
        <Phases plot={plot} timed={props.timed} />
        {props.children}
        {props.lanes.map((lane, i) => lane.draw(tops[i] ?? 0))}
        <TimeAxis plot={plot} top={bottom} label={props.tick} />
        <line class="cross" x1={0} x2={0} y1={18} y2={bottom} visibility="hidden" />
      </svg>
    </div>
  )
}

const Key = (props: { swatch: string; children: ComponentChildren }) => (
  <li>
    <span class={`swatch ${props.swatch}`} aria-hidden="true" />
    {props.children}
  </li>
)

const Legend = (props: { worst: string }) => (
  <ul class="legend" aria-label="Legend">
    <Key swatch="s-statement">statement</Key>
    <Key swatch="s-waiting">waits for the lock</Key>
    <Key swatch="s-held">holds it, harmless</Key>
    <Key swatch="s-meets">holds it, traffic can meet it</Key>
    <Key swatch="s-over">over its limit, or failed</Key>
    <Key swatch="s-old">old release</Key>
    <Key swatch="s-new">new release</Key>
    <Key swatch="s-thin">{`thin: p50, thick: ${props.worst}; dotted: scheduled`}</Key>
    <Key swatch="s-blocked">blocked sessions</Key>
    <Key swatch="s-hidden">0A000 that the driver hid</Key>
  </ul>
)

/** A step of the axis tells how many decimals its labels need. */
const secondsFor = (plot: Plot): ((ms: number) => string) => {
  const step = (plot.ticks[1] ?? 1000) - (plot.ticks[0] ?? 0)
  const digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3
  return (ms) => `${(ms / 1000).toFixed(digits)} s`
}

export const Timeline = (props: { view: View; timed: TimedPass }) => {
  const { view, timed } = props
  const traffic = trafficOf(timed)
  const whole = plotOf('whole', 0, endOf(timed))
  const zoom = zoomWindow(timed)
  const from = timed.migration.startMs
  return (
    <div class="timeline">
      <Drawing
        plot={whole}
        timed={timed}
        title="Timeline of the timed pass"
        tick={secondsFor(whole)}
        bucketMs={traffic.bucketMs}
        lanes={[
          statementLane(view, whole),
          lockLane(view, timed, whole),
          latencyLane(view.report, traffic, whole),
          throughputLane(traffic, whole),
          blockedLane(traffic, whole),
          errorLane(view.report, timed, traffic, whole),
        ]}
      />
      <p class="readout" data-readout hidden />
      <Legend worst={worstLatency(traffic.series).word} />
      <p class="note">
        {timed.phases.map((phase) => `${phaseWord(phase.name)} until ${formatMs(phase.endMs)}`).join(' · ')}
        {`. Traffic in slices of ${formatMs(traffic.bucketMs)}; latency counts from the intended start.`}
      </p>
      {zoom === null ? null : (
        <Zoom view={view} timed={timed} plot={plotOf('zoom', zoom.startMs, zoom.endMs)} from={from} />
      )}
    </div>
  )
}

/** The moments of the migration alone, where the whole axis would squeeze them into a line. */
const Zoom = (props: { view: View; timed: TimedPass; plot: Plot; from: number }) => {
  const { plot, timed, view } = props
  // Ticks count from the migration's start.
  const shifted = plotOf('', plot.startMs - props.from, plot.endMs - props.from)
  const relative: Plot = { ...plot, ticks: shifted.ticks.map((ms) => ms + props.from) }
  return (
    <>
      <h3>The migration alone</h3>
      <Drawing
        plot={relative}
        timed={timed}
        title="The migration alone, from its start"
        tick={(ms) => {
          const since = Math.round((ms - props.from) * 100) / 100
          return since === 0 ? '0' : plot.endMs - plot.startMs > 2000 ? `${since / 1000} s` : `${since} ms`
        }}
        bucketMs={0}
        lanes={[statementLane(view, relative), lockLane(view, timed, relative), waitingLane(timed, relative)]}
      />
      <p class="readout" data-readout hidden />
      <p class="note">
        {`The axis is ${formatMs(plot.endMs - plot.startMs)} long and counts from the start of the migration, at ${formatMs(props.from)} of the pass. Pale ends of a bar are the bounds of when a lock was granted and released.`}
      </p>
    </>
  )
}
