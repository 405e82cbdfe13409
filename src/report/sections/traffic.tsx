import type { TimedPass, TrafficRow } from '../../recording.js'
import { PhaseName } from '../../recording.js'
import { Nothing, Num, Table } from '../ui.js'
import { formatCount, formatMs, formatShare, plural } from '../../units.js'
import { phaseWord, type View } from '../view.js'

/** Rows by release and operation, phases in their order; phases without any arrival are left away. */
const groups = (timed: TimedPass): { release: string; operation: string; rows: TrafficRow[] }[] =>
  (['old', 'new'] as const).flatMap((release) => {
    const rows = timed.traffic.filter((row) => row.release === release && row.scheduled > 0)
    return [...new Set(rows.map((row) => row.operation))].map((operation) => ({
      release,
      operation,
      rows: rows
        .filter((row) => row.operation === operation)
        .sort((a, b) => PhaseName.options.indexOf(a.phase) - PhaseName.options.indexOf(b.phase)),
    }))
  })

const Latency = (props: { row: TrafficRow }) => {
  const latency = props.row.latency
  if (latency === null)
    return (
      <td class="null" colSpan={4}>
        {props.row.completed === 0 ? 'none completed' : 'not measured'}
      </td>
    )
  // A percentile that needs more samples than there were is a dash: it was measured, but says nothing.
  const few = (ms: number | null): string => (ms === null ? '–' : formatMs(ms))
  return (
    <>
      <Num text={formatMs(latency.p50Ms)} />
      <Num text={few(latency.p95Ms)} />
      <Num text={few(latency.p99Ms)} />
      <Num text={formatMs(latency.maxMs)} strong />
    </>
  )
}

const Errors = (props: { timed: TimedPass }) => (
  <Table
    label="Errors by SQLSTATE"
    head={['operation', 'SQLSTATE', 'message', 'errors', 'in', 'first', 'last']}
    numeric={[3, 5, 6]}
  >
    <tbody>
      {props.timed.errors.map((one) => (
        <tr>
          <th scope="row">
            <span class={`release ${one.release}`}>{one.release}</span> {one.operation}
          </th>
          <td>
            {one.error.sqlstate}
            <small>{one.error.condition}</small>
          </td>
          <td>
            {one.error.message}
            {one.hidden ? <small>hidden: the driver prepared the statement again</small> : null}
          </td>
          <Num text={formatCount(one.count)} strong />
          <td>
            {Object.entries(one.phases)
              .map(([phase, count]) => `${phaseWord(phase)} ${formatCount(count)}`)
              .join(', ')}
          </td>
          <Num text={formatMs(one.firstMs)} />
          <Num text={formatMs(one.lastMs)} />
        </tr>
      ))}
    </tbody>
  </Table>
)

export const Traffic = (props: { view: View }) => {
  const { timed } = props.view
  if (timed === null) return <Nothing>Not measured: the timed pass is missing.</Nothing>
  const { generator } = timed
  const reprepared = timed.traffic.reduce((sum, row) => sum + row.reprepared, 0)
  return (
    <>
      <p>
        {`Open loop: ${formatCount(generator.ratePerSecond)} arrivals a second and ${plural(generator.connections, 'connection')} for each release at full rate. In the baseline the generator started arrivals ${formatMs(generator.lagP99Ms)} late (p99) and was busy ${formatShare(generator.eventLoopUtilisation)} of the time.`}
      </p>
      <Table
        label="Traffic per phase"
        head={['operation', 'phase', 'scheduled', 'completed', 'failed', 'dropped', 'p50', 'p95', 'p99', 'max']}
        numeric={[2, 3, 4, 5, 6, 7, 8, 9]}
      >
        {groups(timed).map((group) => (
          <tbody>
            {group.rows.map((row, i) => (
              <tr class={row.phase === 'migrate' ? 'migrate' : undefined}>
                {i > 0 ? null : (
                  <th scope="rowgroup" rowSpan={group.rows.length}>
                    <span class={`release ${group.release}`}>{group.release}</span> {group.operation}
                  </th>
                )}
                <td>{phaseWord(row.phase)}</td>
                <Num text={formatCount(row.scheduled)} />
                <Num text={formatCount(row.completed)} />
                <Num text={formatCount(row.failed)} strong={row.failed > 0} />
                <Num text={formatCount(row.dropped)} strong={row.dropped > 0} />
                <Latency row={row} />
              </tr>
            ))}
          </tbody>
        ))}
      </Table>
      <p class="note">
        {`Latency from the intended start, queueing included; a dash means too few samples for that percentile.${reprepared > 0 ? ` ${plural(reprepared, 'operation')} completed only because the driver prepared again after 0A000.` : ''}`}
      </p>
      <h3>Errors</h3>
      {timed.errors.length === 0 ? <Nothing>No operation failed in any phase.</Nothing> : <Errors timed={timed} />}
    </>
  )
}
