import { Nothing, Num, Table } from '../ui.js'
import { formatBracket, formatCount } from '../../units.js'
import { blocksWords, fileName, placeOf, type View } from '../view.js'

/** Strongest lock per relation that existed before the migration. */
export const Relations = (props: { view: View }) => {
  const { view } = props
  const { relations } = view.report
  if (relations.length === 0) {
    return (
      <Nothing>
        {view.report.recording.passes.length === 0
          ? 'Not measured: no pass was finished.'
          : 'The migration locked no relation that existed before it.'}
      </Nothing>
    )
  }
  return (
    <Table
      label="Strongest lock per relation"
      head={[
        'relation',
        'strongest lock',
        'blocks',
        'first taken at',
        'waited',
        'held',
        'sessions blocked',
        'longest wait',
        'all waits together',
      ]}
      numeric={[4, 5, 6, 7, 8]}
    >
      <tbody>
        {relations.map((one) => (
          <tr>
            <th scope="row">
              {one.relation}
              {one.kind === 'table' ? null : <small>{one.kind}</small>}
            </th>
            <td class="lock">{one.strongest}</td>
            <td class="lock">{blocksWords(one.blocksReads, one.blocksWrites)}</td>
            <td class="place" title={placeOf(view, one.statement)}>
              {fileName(placeOf(view, one.statement))}
            </td>
            <Num text={formatBracket(one.waitedMs)} />
            <Num text={formatBracket(one.heldMs)} strong />
            <Num text={formatCount(one.sessionsBlocked)} />
            <Num
              text={one.longestWaitMs === null && one.sessionsBlocked === 0 ? '–' : formatBracket(one.longestWaitMs)}
            />
            <Num
              text={one.blockedTotalMs === null && one.sessionsBlocked === 0 ? '–' : formatBracket(one.blockedTotalMs)}
            />
          </tr>
        ))}
      </tbody>
    </Table>
  )
}
