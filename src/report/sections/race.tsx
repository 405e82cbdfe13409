/** Two migrators at once: both runs on one time axis, and what came of it. */
import type { RacePass } from '../../recording.js'
import { formatCount, formatMs, plural } from '../../units.js'
import { AXIS_HEIGHT, LaneFrame, TimeAxis } from '../timeline/frame.js'
import { bar, LEFT, plotOf, RIGHT, textWidth, WIDTH } from '../timeline/plot.js'
import { raceError, raceSentence, raceStatus } from '../tool-words.js'
import { Nothing, Num, Sign, Table } from '../ui.js'
import { placeOf, type View } from '../view.js'

type Run = RacePass['runs'][number]

const LANE = 44

const errorOf = (run: Run): string => {
  const error = raceError(run)
  return error === null ? 'none from the server' : `${error.sqlstate} ${error.message}`
}
const nameOf = (i: number): string => ['first run', 'second run'][i] ?? `run ${i + 1}`

const endOf = (run: Run): string =>
  `${run.exitCode === null ? 'no exit code' : `exit code ${run.exitCode}`}${raceError(run) === null ? '' : ` ${raceError(run)?.sqlstate ?? ''}`}, ${plural(run.committed.length, 'statement')} committed`

const Drawing = (props: { race: RacePass }) => {
  const { runs } = props.race
  const start = Math.min(...runs.map((run) => run.startMs))
  const plot = plotOf('race', start, Math.max(start + 1, ...runs.map((run) => run.endMs)))
  const bottom = LANE * runs.length
  const step = (plot.ticks[1] ?? 1000) - (plot.ticks[0] ?? 0)
  const label = (ms: number): string =>
    step >= 1000 ? `${Math.round((ms - start) / 1000)} s` : `${String(Math.round((ms - start) * 10) / 10)} ms`
  const title = 'Both runs on one time axis'
  return (
    <div class="scroll race" tabIndex={0} role="region" aria-label={title}>
      <svg viewBox={`0 0 ${WIDTH} ${bottom + AXIS_HEIGHT}`} role="group" aria-label={title}>
        <title>{title}</title>
        {runs.map((run, i) => {
          const top = i * LANE
          const { x, width } = bar(plot, run.startMs, run.endMs)
          const words = endOf(run)
          const size = textWidth(words, 12) + 12
          // In the bar where it fits; else on the side with more room.
          const inside = size <= width
          const right = x + width + size <= RIGHT
          const at = inside ? x + 8 : right ? x + width + 6 : Math.max(LEFT, x - 6)
          const bad = run.exitCode !== 0 || run.error !== null
          return (
            <LaneFrame
              top={top}
              height={LANE}
              name={nameOf(i)}
              unit={run.waitedMs > 0 ? `longest answer after ${formatMs(run.waitedMs)}` : ''}
              label={`${nameOf(i)}: from ${formatMs(run.startMs)} to ${formatMs(run.endMs)}, ${words}`}
            >
              <rect class={bad ? 'race-run broken' : 'race-run'} x={x} width={width} y={top + 13} height={20} rx={1} />
              <text
                class={inside ? 'race-words number in' : 'race-words'}
                x={at}
                y={top + 27}
                text-anchor={inside || right ? 'start' : 'end'}
              >
                {words}
              </text>
            </LaneFrame>
          )
        })}
        <TimeAxis plot={plot} top={bottom} label={label} />
      </svg>
    </div>
  )
}

const MOST = 40

export const Race = (props: { view: View }) => {
  const { race } = props.view
  if (race === null) return <Nothing>Not measured: the tool was started once at a time.</Nothing>
  const place = (id: string): string => placeOf(props.view, id)
  return (
    <>
      <p>
        <Sign status={raceStatus(race)} /> {raceSentence(race)}
      </p>
      <Drawing race={race} />
      <Table
        label="Both runs"
        class="short"
        head={['run', 'started', 'took', 'longest wait for an answer', 'exit code', 'error', 'statements committed']}
        numeric={[1, 2, 3, 4, 6]}
      >
        <tbody>
          {race.runs.map((run, i) => (
            <tr>
              <th scope="row">{nameOf(i)}</th>
              <Num text={formatMs(run.startMs)} />
              <Num text={formatMs(run.endMs - run.startMs)} />
              <Num text={run.waitedMs > 0 ? formatMs(run.waitedMs) : '–'} />
              <Num text={run.exitCode === null ? 'none' : String(run.exitCode)} strong />
              <td>{errorOf(run)}</td>
              <Num text={formatCount(run.committed.length)} strong />
            </tr>
          ))}
        </tbody>
      </Table>
      {race.twice.length === 0 ? null : (
        <>
          <h3>Committed by both</h3>
          <ul>
            {race.twice.slice(0, MOST).map((id) => (
              <li>
                <span class="place">{place(id)}</span> <code>{props.view.byId.get(id)?.statement.sql ?? ''}</code>
              </li>
            ))}
          </ul>
          {race.twice.length > MOST ? <p class="note">{`and ${race.twice.length - MOST} more`}</p> : null}
        </>
      )}
      {race.journalRows.length === 0 ? null : (
        <p>
          {`The journal holds ${race.journalRows
            .slice(0, MOST)
            .map((row) => `${plural(row.rows, 'row')} for ${row.name}`)
            .join(', ')}.`}
        </p>
      )}
    </>
  )
}
