/** What else went on while the migration ran: one row for each disturbance. */
import { formatBracket, formatCount } from '../../units.js'
import { disturbanceRow } from '../disturbance-words.js'
import { Num, Sign, Table } from '../ui.js'
import type { View } from '../view.js'

export const Disturbances = (props: { view: View }) => {
  const { disturbances, report } = props.view
  const rows = disturbances.map((pass) => disturbanceRow(pass, report.findings))
  return (
    <>
      <Table
        label="The migration beside what else goes on"
        head={[
          'disturbance',
          'it held',
          'it lasted',
          'migration waited for it',
          'tries',
          'who waited behind',
          'longest',
          'migration',
        ]}
        numeric={[3, 4, 6]}
      >
        <tbody>
          {rows.map((row) => (
            <tr>
              <th scope="row">
                <Sign status={row.status} /> {row.name}
                <small>{row.kind}</small>
              </th>
              <td>
                {row.held}
                <small>{row.did}</small>
              </td>
              <td>{row.lasted}</td>
              <Num text={row.waitedMs === null ? '–' : formatBracket(row.waitedMs)} strong />
              <Num text={formatCount(row.tries)} />
              <td>{row.behind}</td>
              <Num text={row.longestMs === null ? '–' : formatBracket(row.longestMs)} strong />
              <td>{row.outcome}</td>
            </tr>
          ))}
        </tbody>
      </Table>
      <p class="note">
        Each on a copy of its own, with the old release’s traffic alone, from before the migration’s first statement on.
        Times are the longest single waits; the limits above are about the timed pass, in which nothing else goes on.
      </p>
    </>
  )
}
