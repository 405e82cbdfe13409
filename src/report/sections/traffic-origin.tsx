import type { ProgramRun, TimedPass, TrafficOrigin } from '../../recording.js'
import { originSentences } from '../traffic-words.js'
import { Num, Table } from '../ui.js'
import { formatCount, formatMs, plural } from '../../units.js'
import type { View } from '../view.js'

const MOST_LEFT_OUT = 60

const LeftOut = (props: { origin: TrafficOrigin }) => {
  const { leftOut, release } = props.origin
  if (leftOut.length === 0) return null
  return (
    <details class="more">
      <summary>{`${plural(leftOut.length, 'thing')} of the ${release} release that the traffic leaves out, and why`}</summary>
      <Table label={`Left out, ${release} release`} head={['what', 'calls', 'why']} numeric={[1]}>
        <tbody>
          {leftOut.slice(0, MOST_LEFT_OUT).map((one) => (
            <tr>
              <th scope="row">{one.what}</th>
              {one.calls === null ? <td class="n">–</td> : <Num text={formatCount(one.calls)} />}
              <td>{one.reason}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      {leftOut.length > MOST_LEFT_OUT ? (
        <p class="note">{`All ${formatCount(leftOut.length)} are in report.json.`}</p>
      ) : null}
    </details>
  )
}

/** Where the operations of each release come from. */
export const Origins = (props: { view: View }) => {
  const { traffic } = props.view.report.recording
  if (traffic.length === 0) return null
  return (
    <>
      {traffic.map((origin) => (
        <p>
          <span class={`release ${origin.release}`}>{origin.release}</span> {originSentences(origin).join(' ')}
        </p>
      ))}
      {traffic.map((origin) => (
        <LeftOut origin={origin} />
      ))}
    </>
  )
}

const endOf = (run: ProgramRun): string =>
  run.byItself ? `ended by itself with ${run.exitCode ?? 'a signal'}` : 'stopped at its time'

/** Programs whose own queries were the traffic. */
export const Programs = (props: { timed: TimedPass }) => {
  const { programs } = props.timed
  if (programs.length === 0) return null
  return (
    <>
      <p>
        Queries of real programs are seen on the wire: each counts from its first byte sent to the answer. A program
        sends the next one when the one before has been answered, so it does not press on while it is blocked.
      </p>
      <Table label="Programs" head={['release', 'program', 'from', 'to', 'sessions', 'end']} numeric={[2, 3, 4]}>
        <tbody>
          {programs.map((run) => (
            <tr>
              <th scope="row">
                <span class={`release ${run.release}`}>{run.release}</span> {run.role}
              </th>
              <td>
                <code>{run.command}</code>
                {run.refused.length === 0 ? null : <small>{`was kept from ${run.refused.join(', ')}`}</small>}
              </td>
              <Num text={formatMs(run.startMs)} />
              <Num text={formatMs(run.endMs)} />
              <Num text={formatCount(run.sessions)} />
              <td>{endOf(run)}</td>
            </tr>
          ))}
        </tbody>
      </Table>
    </>
  )
}
