/** What all lanes share: frame, axis labels, hatching, phases, shading of the statements. */
import type { ComponentChildren } from 'preact'
import type { TimedPass } from '../../recording.js'
import { formatMs } from '../../units.js'
import { phaseWord } from '../view.js'
import { bar, LEFT, type Plot, RIGHT, textWidth } from './plot.js'

/** A lane: its height and how it is drawn once its place is known. */
export interface Lane {
  height: number
  draw: (top: number) => ComponentChildren
}

/** Name and unit of a lane at the left, a line below it. */
export const LaneFrame = (props: {
  top: number
  height: number
  name: string
  unit?: string
  /** One sentence that says what the lane shows, for those who do not see it. */
  label: string
  /** A lane with focusable bars is a group: the children of an image cannot be reached. */
  group?: boolean
  children: ComponentChildren
}) => (
  <g role={props.group ? 'group' : 'img'} aria-label={props.label}>
    <text class="lane" x={0} y={props.top + 15}>
      {props.name}
    </text>
    {props.unit === undefined ? null : (
      <text class="unit" x={0} y={props.top + 30}>
        {props.unit}
      </text>
    )}
    {props.children}
    <line class="rule" x1={0} x2={RIGHT} y1={props.top + props.height - 0.5} y2={props.top + props.height - 0.5} />
  </g>
)

export const YTick = (props: { y: number; text: string; grid?: boolean }) => (
  <g>
    {props.grid === false ? null : <line class="grid" x1={LEFT} x2={RIGHT} y1={props.y} y2={props.y} />}
    <text class="tick" x={LEFT - 8} y={props.y + 4} text-anchor="end">
      {props.text}
    </text>
  </g>
)

export const Hatch = (props: { plot: Plot }) => (
  <defs>
    <pattern
      id={`hatch-${props.plot.id}`}
      width="6"
      height="6"
      patternUnits="userSpaceOnUse"
      patternTransform="rotate(45)"
    >
      <rect class="hatch-ground" width="6" height="6" />
      <rect class="hatch-line" width="2.4" height="6" />
    </pattern>
  </defs>
)

/** A bar that can be focused, with its words as title and for the readout under the pointer. */
export const FocusBar = (props: {
  plot: Plot
  fromMs: number
  toMs: number
  words: string
  statement?: number | undefined
  children: ComponentChildren
}) => (
  <g
    class="bar"
    tabIndex={0}
    role="img"
    aria-label={props.words}
    data-a={props.fromMs.toFixed(2)}
    data-b={props.toMs.toFixed(2)}
    data-s={props.statement}
  >
    <title>{props.words}</title>
    {props.children}
  </g>
)

export const PHASE_HEIGHT = 26

/** The strip of phases at the top. A name that does not fit is in the title and in the list below the drawing. */
export const Phases = (props: { plot: Plot; timed: TimedPass }) => (
  <g
    role="img"
    aria-label={`Phases: ${props.timed.phases.map((p) => `${phaseWord(p.name)} from ${formatMs(p.startMs)}`).join(', ')}`}
  >
    {props.timed.phases
      .filter((phase) => phase.endMs > props.plot.startMs && phase.startMs < props.plot.endMs)
      .map((phase, i) => {
        const { x, width } = bar(props.plot, phase.startMs, phase.endMs)
        const word = phaseWord(phase.name)
        return (
          <g key={phase.name}>
            <title>{`${word}: ${formatMs(phase.startMs)} to ${formatMs(phase.endMs)}`}</title>
            <rect
              class={phase.name === 'migrate' ? 'phase migrate' : i % 2 ? 'phase odd' : 'phase'}
              x={x}
              y={0}
              width={width}
              height={18}
            />
            {textWidth(word, 12) + 8 > width ? null : (
              <text class="phase-name" x={x + width / 2} y={13} text-anchor="middle">
                {word}
              </text>
            )}
          </g>
        )
      })}
  </g>
)

/** Behind the lanes: when each statement ran, and where each phase begins. */
export const Shading = (props: { plot: Plot; timed: TimedPass; bottom: number }) => (
  <g aria-hidden="true">
    {props.timed.migration.statements.map((run) => {
      const { x, width } = bar(props.plot, run.startMs, run.endMs)
      return <rect class="shade" x={x} width={width} y={18} height={props.bottom - 18} />
    })}
    {props.timed.phases
      .filter((phase) => phase.startMs > props.plot.startMs && phase.startMs < props.plot.endMs)
      .map((phase) => (
        <line
          class="phase-line"
          x1={props.plot.x(phase.startMs)}
          x2={props.plot.x(phase.startMs)}
          y1={18}
          y2={props.bottom}
        />
      ))}
  </g>
)

export const AXIS_HEIGHT = 24

/** The time axis at the bottom; `label` turns an instant into text. */
export const TimeAxis = (props: { plot: Plot; top: number; label: (ms: number) => string }) => (
  <g aria-hidden="true">
    {props.plot.ticks.map((ms) => (
      <g>
        <line class="axis-tick" x1={props.plot.x(ms)} x2={props.plot.x(ms)} y1={props.top} y2={props.top + 5} />
        <text
          class="tick"
          x={props.plot.x(ms)}
          y={props.top + 18}
          text-anchor={props.plot.x(ms) > RIGHT - 20 ? 'end' : 'middle'}
        >
          {props.label(ms)}
        </text>
      </g>
    ))}
  </g>
)
