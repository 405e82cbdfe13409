/** The state of the data: checks, leftovers, the way back. */
import type { DataCheck, Leftovers } from '../../recording.js'
import { compatSentences } from '../compat-words.js'
import { Nothing, Num, Sign, Table } from '../ui.js'
import { formatCount, formatMs } from '../../units.js'
import { placeOf, type View } from '../view.js'

/** Whether a check found rows, or could not run. */
export const checkStatus = (check: DataCheck): 'ok' | 'fail' | 'not measured' => {
  if (check.error !== null) return 'fail'
  if (check.rowsAfter === null) return 'not measured'
  return check.rowsAfter > 0 ? 'fail' : 'ok'
}

const Checks = (props: { passes: { name: string; checks: DataCheck[] }[] }) => (
  <Table label="Data checks" head={['check', 'pass', 'rows before', 'rows after', '']} numeric={[2, 3]}>
    <tbody>
      {props.passes.flatMap(({ name, checks }) =>
        checks.map((check) => (
          <tr>
            <th scope="row">
              <Sign status={checkStatus(check)} /> {check.name}
              <small>{`line ${check.line}`}</small>
            </th>
            <td>{name}</td>
            <Num text={formatCount(check.rowsBefore)} />
            <Num text={formatCount(check.rowsAfter)} strong />
            <td>
              {check.error !== null
                ? `${check.error.sqlstate} ${check.error.message}`
                : checkStatus(check) === 'fail' && (check.rowsBefore ?? 0) > 0
                  ? 'there were such rows before the migration, too'
                  : ''}
            </td>
          </tr>
        )),
      )}
    </tbody>
  </Table>
)

/** What is there after the migration and was not there before, in sentences. */
export const leftoverSentences = (leftovers: Leftovers, place: (id: string) => string): string[] => [
  ...leftovers.invalidIndexes.map((one) => `The index ${one.index} on ${one.table} is INVALID.`),
  ...leftovers.notValidConstraints.map((one) => `The constraint ${one.constraint} on ${one.table} is NOT VALID.`),
  ...(leftovers.halfApplied.length > 0
    ? [`The migration failed, and these stay committed: ${leftovers.halfApplied.map(place).join(', ')}.`]
    : []),
]

export const Data = (props: { view: View }) => {
  const { quiet, timed } = props.view
  const place = (id: string): string => placeOf(props.view, id)
  const passes = [
    ...(quiet === null ? [] : [{ name: 'quiet', checks: quiet.dataChecks }]),
    ...(timed === null ? [] : [{ name: 'timed', checks: timed.dataChecks }]),
  ]
  if (passes.length === 0) return <Nothing>Not measured: no pass was finished.</Nothing>
  const left = [
    ...new Set([quiet, timed].flatMap((pass) => (pass === null ? [] : leftoverSentences(pass.leftovers, place)))),
  ]
  return (
    <>
      {passes.every((one) => one.checks.length === 0) ? (
        <Nothing>Not measured: there are no data checks (checks.sql).</Nothing>
      ) : (
        <Checks passes={passes} />
      )}
      {left.length === 0 ? (
        <p>Nothing is left over: no INVALID index, no constraint NOT VALID that was not there before.</p>
      ) : (
        <ul>
          {left.map((sentence) => (
            <li>{sentence}</li>
          ))}
        </ul>
      )}
    </>
  )
}

export const RollbackSection = (props: { view: View }) => {
  const { quiet } = props.view
  if (quiet === null) return <Nothing>Not measured: the quiet pass is missing.</Nothing>
  const { rollback } = quiet
  if (rollback === null) return <Nothing>Not measured: there is no rollback.sql.</Nothing>
  const { run } = rollback
  const back = quiet.states.filter((state) => state.kind === 'rolled-back').map((state) => state.id)
  const tried = quiet.compat.some((cell) => cell.release === 'old' && back.includes(cell.state))
  const after = compatSentences(quiet).filter((sentence) => sentence.text.includes('after the rollback'))
  return (
    <>
      <p>
        <Sign status={run.outcome.ok ? 'ok' : 'fail'} />{' '}
        {run.outcome.ok
          ? `${rollback.file} ran in ${formatMs(run.endMs - run.startMs)} at rest.`
          : `${rollback.file} fails: ${run.outcome.error.sqlstate} ${run.outcome.error.message}.`}{' '}
        {tried && after.length === 0 ? 'Every operation of the old release that worked before works after it.' : ''}
        {tried ? '' : 'The old release was not tried after it.'}
      </p>
      {after.length === 0 ? null : (
        <ul>
          {after.map((sentence) => (
            <li>{sentence.text}</li>
          ))}
        </ul>
      )}
      {rollback.dataChecks.length === 0 ? null : (
        <Checks passes={[{ name: 'after rollback', checks: rollback.dataChecks }]} />
      )}
    </>
  )
}
