/** Every operation with and without the migration, at rest: times, and what became of its plans. */
import type { Plan, PlanComparison } from '../../recording.js'
import type { ComponentChildren } from 'preact'
import { plural } from '../../units.js'
import {
  changeSentence,
  changeWords,
  isOther,
  nodeLine,
  ratioWords,
  settledWords,
  spreadWords,
  timingRows,
  wasTimed,
  type RatioWords,
  type TimingRow,
} from '../timing-words.js'
import { Nothing, Num, Table } from '../ui.js'
import type { View } from '../view.js'

/** So many rows are shown at once; more of those that did not change are folded. */
const MOST_OPEN = 12

export const Timings = (props: { view: View }) => {
  const { quiet } = props.view
  if (quiet === null) return <Nothing>Not measured: the quiet pass is missing.</Nothing>
  if (quiet.timings.length === 0)
    return (
      <Nothing>
        {quiet.migration.outcome.ok
          ? 'Not measured: no operation was timed before and after the migration.'
          : 'Not measured: the migration failed.'}
      </Nothing>
    )
  const rows = timingRows(quiet.timings)
  const timed = rows.filter((row) => wasTimed(row.timing))
  const other = timed.filter((row) => isOther(row.timing))
  const same = timed.filter((row) => !isOther(row.timing))
  const untimed = rows.filter((row) => !wasTimed(row.timing))
  const alternating = rows.some((row) => row.timing.ratio !== null)
  return (
    <>
      <p>
        {other.length === 0
          ? `No operation of ${timed.length} has another plan or surely another time.`
          : `${plural(other.length, 'operation')} of ${timed.length} ${other.length === 1 ? 'has' : 'have'} another plan or surely another time.`}
      </p>
      {other.length === 0 ? null : <Rows label="Operations with another plan or time" rows={other} plans />}
      {same.length === 0 ? null : (
        <Folded open={same.length <= MOST_OPEN} title={`As before: ${plural(same.length, 'operation')}`}>
          <Rows label="Operations as before" rows={same} plans={false} />
        </Folded>
      )}
      {untimed.length === 0 ? null : (
        <Folded open={untimed.length <= MOST_OPEN} title={`Not timed: ${plural(untimed.length, 'operation')}`}>
          <ul>
            {untimed.map(({ timing, releases }) => (
              <li>{`${timing.operation} (${releases}): ${timing.reason ?? 'not measured'}`}</li>
            ))}
          </ul>
        </Folded>
      )}
      <p class="note">
        Median ± median absolute deviation of one session at rest. Every run is rolled back, so COMMIT is not in the
        times. Differences below 1 ms do not count.{' '}
        {alternating
          ? 'Below a ratio is the interval in which it lies with at least 95 %: two copies, one of them migrated, were measured in alternating rounds.'
          : 'Before and after were measured on one copy, one after the other.'}
      </p>
    </>
  )
}

const Folded = (props: { open: boolean; title: string; children: ComponentChildren }) => (
  <details class="more" open={props.open}>
    <summary>{props.title}</summary>
    {props.children}
  </details>
)

const Rows = (props: { label: string; rows: readonly TimingRow[]; plans: boolean }) => {
  const settled = props.rows.some((row) => row.timing.settled !== null)
  const again = settled ? ['after VACUUM ANALYZE', 'that / before'] : []
  return (
    <Table
      label={props.label}
      class="short"
      head={['operation', 'before', 'after', 'after / before', ...again, ...(props.plans ? ['plan'] : [])]}
      numeric={settled ? [1, 2, 3, 4, 5] : [1, 2, 3]}
    >
      <tbody>
        {props.rows.map(({ timing, releases }) => (
          <tr>
            <th scope="row">
              {timing.operation}
              <small>{releases}</small>
              {timing.reason === null ? null : <small>{timing.reason}</small>}
            </th>
            <Num text={spreadWords(timing.before)} />
            <Num text={timing.after === null ? 'fails' : spreadWords(timing.after)} strong />
            <Ratio words={ratioWords(timing)} />
            {settled ? <Num text={spreadWords(timing.settled)} /> : null}
            {settled ? <Ratio words={settledWords(timing)} /> : null}
            {props.plans ? (
              <td>
                <Changes plans={timing.plans} changed={timing.planChanged} />
              </td>
            ) : null}
          </tr>
        ))}
      </tbody>
    </Table>
  )
}

const Ratio = (props: { words: RatioWords }) => (
  <td class="n">
    {props.words.value}
    {props.words.interval === null ? null : <small>{props.words.interval}</small>}
  </td>
)

const Changes = (props: { plans: readonly PlanComparison[]; changed: boolean | null }) => {
  const changes = changeWords(props.plans)
  if (changes.length === 0) return <>{props.changed === null ? '–' : props.changed ? 'changed' : 'same'}</>
  const changed = props.plans.filter((plan) => plan.changes.length + plan.lasting.length > 0)
  return (
    <>
      {changes.map((change) => (
        <div>{changeSentence(change)}</div>
      ))}
      <details>
        <summary>plans</summary>
        {changed.map((plan) => (
          <>
            <PlanText title="before" plan={plan.before} />
            <PlanText title="after" plan={plan.after} />
            <PlanText title="after VACUUM ANALYZE" plan={plan.settled} />
          </>
        ))}
      </details>
    </>
  )
}

const PlanText = (props: { title: string; plan: Plan | null }) => {
  const { plan } = props
  if (plan === null) return null
  const pages = [
    plan.pagesHit === null ? null : `${plural(plan.pagesHit, 'page')} in memory`,
    plan.pagesRead === null ? null : `${plan.pagesRead} read`,
    plan.temporaryPages ? `${plan.temporaryPages} temporary` : null,
  ].filter((one) => one !== null)
  return (
    <>
      <small>{pages.length === 0 ? props.title : `${props.title}: ${pages.join(', ')}`}</small>
      {plan.nodes.map((node) => (
        <div>
          <code>{`${'\u00A0\u00A0'.repeat(node.depth)}${nodeLine(node)}`}</code>
        </div>
      ))}
    </>
  )
}
