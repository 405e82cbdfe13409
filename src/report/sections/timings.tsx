/** Reading operations before and after the migration, at rest. */
import type { QueryTiming, Timing } from '../../recording.js'
import { Nothing, Num, Table } from '../ui.js'
import { formatMs, formatRatio } from '../../units.js'
import type { View } from '../view.js'

const ratio = (timing: QueryTiming): number | null =>
  timing.after === null ? null : timing.after.medianMs / Math.max(0.001, timing.before.medianMs)

const withSpread = (timing: Timing | null): string =>
  timing === null ? '–' : `${formatMs(timing.medianMs)} ± ${formatMs(timing.madMs)}`

export const Timings = (props: { view: View }) => {
  const { quiet } = props.view
  if (quiet === null) return <Nothing>Not measured: the quiet pass is missing.</Nothing>
  if (quiet.timings.length === 0)
    return <Nothing>Not measured: no operation that only reads worked before the migration.</Nothing>
  const rows = [...quiet.timings].sort((a, b) => (ratio(b) ?? 0) - (ratio(a) ?? 0))
  const settled = rows.some((row) => row.settled !== null)
  return (
    <>
      <Table
        label="Query timings"
        head={['operation', 'before', 'after', ...(settled ? ['after VACUUM ANALYZE'] : []), 'after / before', 'plan']}
        numeric={settled ? [1, 2, 3, 4] : [1, 2, 3]}
      >
        <tbody>
          {rows.map((row) => (
            <tr>
              <th scope="row">
                {row.operation}
                <small>{`${row.release} release`}</small>
              </th>
              <Num text={withSpread(row.before)} />
              <Num text={row.after === null ? 'fails' : withSpread(row.after)} strong />
              {settled ? <Num text={withSpread(row.settled)} /> : null}
              <Num text={row.after === null ? '–' : formatRatio(ratio(row))} />
              <td>{row.planChanged === null ? '–' : row.planChanged ? 'changed' : 'same'}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      <p class="note">
        Median ± median absolute deviation of one session at rest, {rows[0]?.before.samples ?? 0} runs or fewer each;
        operations that write, and operations written as code, are not repeated and so not timed. Differences below 1 ms
        do not count.
      </p>
    </>
  )
}
