import type { TimedPass, TrafficRow } from '../../recording.js'
import { PhaseName } from '../../recording.js'
import { Nothing, Num, Table } from '../ui.js'
import { formatCount, formatMs, formatShare, plural } from '../../units.js'
import { phaseWord, type View } from '../view.js'
import { mannersSentence } from '../traffic-words.js'
import { Origins, Programs } from './traffic-origin.js'

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

type Group = ReturnType<typeof groups>[number]

/** From so many operations on, only those with something to tell are shown phase by phase. */
const MANY = 40
/** Of the others, so many of the busiest. */
const BUSIEST = 10

const sum = (rows: readonly TrafficRow[], count: (row: TrafficRow) => number): number =>
  rows.reduce((total, row) => total + count(row), 0)

/** Failed, dropped, or some request of it took far longer than any in the baseline. */
function tells({ rows }: Group): boolean {
  if (rows.some((row) => row.failed + row.dropped + row.retried > 0)) return true
  const usual = Math.max(0, ...rows.flatMap((row) => (row.phase === 'baseline' ? (row.latency?.maxMs ?? 0) : [])))
  return rows.some((row) => (row.latency?.maxMs ?? 0) > Math.max(50, 3 * usual))
}

/** The operations to show phase by phase, and the rest. */
function split(all: readonly Group[]): { shown: Group[]; rest: Group[] } {
  if (all.length <= MANY) return { shown: [...all], rest: [] }
  const busy = [...all].sort((a, b) => sum(b.rows, (row) => row.scheduled) - sum(a.rows, (row) => row.scheduled))
  const kept = new Set([...all.filter(tells).slice(0, MANY), ...busy.slice(0, BUSIEST)])
  return { shown: all.filter((one) => kept.has(one)), rest: all.filter((one) => !kept.has(one)) }
}

const Rest = (props: { rest: readonly Group[] }) => (
  <details class="more">
    <summary>{`${plural(props.rest.length, 'operation')} more`}</summary>
    <Table
      label="Other operations"
      head={['operation', 'scheduled', 'completed', 'failed', 'p50 in the baseline', 'max']}
      numeric={[1, 2, 3, 4, 5]}
    >
      <tbody>
        {props.rest.map(({ release, operation, rows }) => (
          <tr>
            <th scope="row">
              <span class={`release ${release}`}>{release}</span> {operation}
            </th>
            <Num text={formatCount(sum(rows, (row) => row.scheduled))} />
            <Num text={formatCount(sum(rows, (row) => row.completed))} />
            <Num text={formatCount(sum(rows, (row) => row.failed))} />
            <Num text={formatMs(rows.find((row) => row.phase === 'baseline')?.latency?.p50Ms ?? null)} />
            <Num text={formatMs(Math.max(0, ...rows.map((row) => row.latency?.maxMs ?? 0)))} />
          </tr>
        ))}
      </tbody>
    </Table>
  </details>
)

export const Traffic = (props: { view: View }) => {
  const { timed } = props.view
  if (timed === null) return <Nothing>Not measured: the timed pass is missing.</Nothing>
  const { generator } = timed
  const reprepared = sum(timed.traffic, (row) => row.reprepared)
  const retried = sum(timed.traffic, (row) => row.retried)
  const gaveUp = sum(timed.traffic, (row) => row.gaveUp)
  const { shown, rest } = split(groups(timed))
  const manners = mannersSentence(timed)
  const scheduled = props.view.report.recording.operations.some(({ source }) => source !== 'program')
  return (
    <>
      <Origins view={props.view} />
      {scheduled ? (
        <p>
          {`Open loop: ${formatCount(generator.ratePerSecond)} arrivals a second and ${plural(generator.connections, 'connection')} for each release at full rate. In the baseline the generator started arrivals ${formatMs(generator.lagP99Ms)} late (p99) and was busy ${formatShare(generator.eventLoopUtilisation)} of the time.`}
        </p>
      ) : null}
      {manners === null ? null : <p>{manners}</p>}
      {gaveUp > 0 ? (
        <p>
          <strong>{`${plural(gaveUp, 'request')} gave up waiting for a connection of the pool.`}</strong>
        </p>
      ) : null}
      <Programs timed={timed} />
      <Table
        label="Traffic per phase"
        head={['operation', 'phase', 'scheduled', 'completed', 'failed', 'dropped', 'p50', 'p95', 'p99', 'max']}
        numeric={[2, 3, 4, 5, 6, 7, 8, 9]}
      >
        {shown.map((group) => (
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
      {rest.length > 0 ? <Rest rest={rest} /> : null}
      <p class="note">
        {`Latency from the intended start, queueing included; a dash means too few samples for that percentile.${reprepared > 0 ? ` ${plural(reprepared, 'operation')} completed only because the driver prepared again after 0A000.` : ''}${retried > 0 ? ` ${plural(retried, 'operation')} needed another try.` : ''}`}
      </p>
      <h3>Errors</h3>
      {timed.errors.length === 0 ? <Nothing>No operation failed in any phase.</Nothing> : <Errors timed={timed} />}
    </>
  )
}
