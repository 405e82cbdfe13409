/** The two lanes of the migration itself: its statements and its locks. */
import type { LockSpan, StatementRun, TimedPass } from '../../recording.js'
import { oneLine, shorten } from '../text.js'
import { formatBracket, formatMs, plural } from '../../units.js'
import { blocksWords, conflicts, sameMessage, type StatementView, type View } from '../view.js'
import { FocusBar, type Lane, LaneFrame } from './frame.js'
import { bar, heldBudget, LEFT, lockRows, type LockRow, type Plot, textWidth } from './plot.js'

const STATEMENTS_HEIGHT = 44

const statementWords = (one: StatementView): string => {
  const { statement, timed } = one
  const ending =
    timed === null
      ? ''
      : timed.outcome.ok
        ? `, ${formatMs(timed.endMs - timed.startMs)}`
        : `, failed: ${timed.outcome.error.sqlstate}`
  return `Statement ${one.number}, ${statement.file}:${statement.line}${ending}. ${shorten(oneLine(statement.sql), 160)}`
}

/** Statement bars. The number stands in the bar, above it where the bar is thin, and nowhere where it would collide. */
export const statementLane = (view: View, plot: Plot): Lane => {
  const runs: { one: StatementView; run: StatementRun; last: number; broken: boolean }[] = []
  for (const one of view.statements) {
    const run = one.timed
    if (run === null) continue
    const before = runs.at(-1)
    const broken = !run.outcome.ok
    // Statements of one message have only its times: one bar for all of them.
    if (before !== undefined && sameMessage(before.run, run)) {
      before.last = one.number
      before.broken ||= broken
    } else runs.push({ one, run, last: one.number, broken })
  }
  return {
    height: STATEMENTS_HEIGHT,
    draw: (top) => {
      let free = LEFT
      return (
        <LaneFrame
          group
          top={top}
          height={STATEMENTS_HEIGHT}
          name="statements"
          unit="number as in the table"
          label={`${plural(view.statements.filter((one) => one.timed !== null).length, 'statement')} of the migration`}
        >
          {runs.map(({ one, run, last, broken }) => {
            const place = bar(plot, run.startMs, run.endMs)
            const label = last === one.number ? String(one.number) : `${one.number}–${last}`
            const size = textWidth(label, 12) + 4
            const inside = place.width >= size + 4
            const middle = Math.max(place.x + place.width / 2, LEFT + size / 2)
            const shown = middle - size / 2 >= free
            if (shown) free = middle + size / 2
            return (
              <FocusBar
                plot={plot}
                fromMs={run.startMs}
                toMs={run.endMs}
                words={
                  last === one.number
                    ? statementWords(one)
                    : `Statements ${label} in one message. ${statementWords(one)}`
                }
                statement={one.number}
              >
                <rect
                  class={broken ? 'statement broken' : 'statement'}
                  x={place.x}
                  width={place.width}
                  y={top + 18}
                  height={18}
                  rx={1}
                />
                {shown ? (
                  <text
                    class={inside ? 'number in' : 'number'}
                    x={middle}
                    y={inside ? top + 31 : top + 13}
                    text-anchor="middle"
                  >
                    {label}
                  </text>
                ) : null}
              </FocusBar>
            )
          })}
        </LaneFrame>
      )
    },
  }
}

const ROW = 20
/** More rows than these are in the table only. */
export const MAX_LOCK_ROWS = 12

const spanWords = (view: View, span: LockSpan): string => {
  const number = view.byId.get(span.statement)?.number
  return [
    `${span.mode} on ${span.relation}`,
    ...(number === undefined ? [] : [`statement ${number}`]),
    span.grantedMs === null
      ? `never granted, waited ${formatBracket(span.waitedMs)}`
      : `held ${formatBracket(span.heldMs)}`,
    ...(span.grantedMs === null || span.waitedMs.highMs < 0.05 ? [] : [`waited ${formatBracket(span.waitedMs)}`]),
    span.existedBefore
      ? `blocks ${blocksWords(span.blocksReads, span.blocksWrites)}`
      : 'made by this migration: nobody can meet it',
  ].join(', ')
}

const SpanBar = (props: { view: View; plot: Plot; span: LockSpan; top: number; over: boolean }) => {
  const { plot, span, top } = props
  const until = span.grantedMs?.highMs ?? span.releasedMs.highMs
  const waited = bar(plot, span.askedMs.lowMs, until)
  // Only a wait that is proved is drawn as one; the rest is the width of the bound.
  const showsWait =
    span.grantedMs === null || (span.waitedMs.lowMs > 0 && plot.x(until) - plot.x(span.askedMs.lowMs) >= 1.5)
  const level = props.over ? 'held over' : conflicts(span) ? 'held meets' : 'held'
  // The middle of what is certain is solid; where a bound begins or ends, it is paler.
  const known =
    span.grantedMs === null
      ? null
      : bar(plot, span.grantedMs.highMs, Math.max(span.releasedMs.lowMs, span.grantedMs.highMs))
  const possible = span.grantedMs === null ? null : bar(plot, span.grantedMs.lowMs, span.releasedMs.highMs)
  return (
    <FocusBar
      plot={plot}
      fromMs={span.askedMs.lowMs}
      toMs={span.releasedMs.highMs}
      words={spanWords(props.view, span)}
      statement={props.view.byId.get(span.statement)?.number}
    >
      {showsWait ? (
        <rect
          class="waiting"
          fill={`url(#hatch-${plot.id})`}
          x={waited.x}
          width={waited.width}
          y={top + 4}
          height={ROW - 8}
        />
      ) : null}
      {possible === null ? null : (
        <rect class={`${level} possible`} x={possible.x} width={possible.width} y={top + 4} height={ROW - 8} />
      )}
      {known === null ? null : <rect class={level} x={known.x} width={known.width} y={top + 4} height={ROW - 8} />}
    </FocusBar>
  )
}

const RowLabel = (props: { row: LockRow; top: number }) => {
  const mode = props.row.mode
  const room = Math.floor((LEFT - 24 - textWidth(mode, 10.5)) / (11.5 * 0.56))
  return (
    <g>
      <title>{`${props.row.relation} · ${mode}`}</title>
      <text class="row-name" x={0} y={props.top + 14}>
        {shorten(props.row.relation, room)}
      </text>
      <text class="mode" x={LEFT - 8} y={props.top + 14} text-anchor="end">
        {mode}
      </text>
    </g>
  )
}

/** One row for each relation and mode; hatched while the migration waits for the lock, solid while it holds it. */
export const lockLane = (view: View, timed: TimedPass, plot: Plot): Lane => {
  const all = lockRows(timed)
  const rows = all.slice(0, MAX_LOCK_ROWS)
  const more = all.length - rows.length
  const limit = heldBudget(view.report)?.fail ?? null
  const height = 24 + rows.length * ROW + (more > 0 ? ROW : 0) + 6
  return {
    height,
    draw: (top) => (
      <LaneFrame
        group
        top={top}
        height={height}
        name="locks of the migration"
        label={`Locks: ${plural(all.length, 'row')}`}
      >
        {rows.map((row, i) => (
          <g>
            <RowLabel row={row} top={top + 24 + i * ROW} />
            {row.spans.map((span) => (
              <SpanBar
                view={view}
                plot={plot}
                span={span}
                top={top + 24 + i * ROW}
                over={limit !== null && conflicts(span) && (span.heldMs?.lowMs ?? 0) > limit}
              />
            ))}
            {row.waits.map((wait) => (
              <FocusBar
                plot={plot}
                fromMs={wait.fromMs}
                toMs={wait.toMs}
                words={`Waits for ${wait.title} (${row.mode}), ${formatMs(wait.toMs - wait.fromMs)}`}
              >
                <rect
                  class="waiting"
                  fill={`url(#hatch-${plot.id})`}
                  {...bar(plot, wait.fromMs, wait.toMs)}
                  y={top + 28 + i * ROW}
                  height={ROW - 8}
                />
              </FocusBar>
            ))}
          </g>
        ))}
        {more > 0 ? (
          <text class="unit" x={0} y={top + 24 + rows.length * ROW + 14}>
            {`and ${more} more in the table of statements`}
          </text>
        ) : null}
        {all.length === 0 ? (
          <text class="unit" x={LEFT} y={top + 15}>
            none seen
          </text>
        ) : null}
      </LaneFrame>
    ),
  }
}
