/** The first screen: verdict, the reason in one sentence, the limits. */
import type { BudgetResult } from '../../recording.js'
import { tight } from '../text.js'
import { Nothing, Num, Sign, Table } from '../ui.js'
import { explainProjection, formatBytes, formatCount, formatLimit, formatMeasured, formatRange } from '../../units.js'
import { fileName, largestTable, markOf, type View } from '../view.js'

const dateOf = (iso: string): string => iso.replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*Z$/, '$1 $2 UTC')

export const VerdictHead = (props: { view: View }) => {
  const { report } = props.view
  const { recording } = report
  const env = recording.environment
  return (
    <header class={`verdict ${report.verdict}`}>
      <p class="eyebrow">
        <span class="brand">Rehearse</span> <span class="run">{recording.name}</span>
      </p>
      <h1>
        <span class="word">
          <span aria-hidden="true">{markOf(report.verdict).sign}</span> {report.verdict}
        </span>{' '}
        <span class="headline">{tight(report.headline)}</span>
      </h1>
      {recording.stopped === null ? null : (
        <p class="stopped">{`Not complete: ${recording.stopped.message}. What had been measured until then is below.`}</p>
      )}
      {env === null ? null : (
        <p class="facts">
          {[
            dateOf(env.startedAt),
            ...(env.git === null ? [] : [`commit ${env.git.slice(0, 7)}`]),
            `PostgreSQL ${env.postgres}, ${env.provider}`,
            `${largestTable(env)}, ${formatBytes(env.databaseBytes)}`,
          ].join(' · ')}
        </p>
      )}
    </header>
  )
}

const Limit = (props: { budget: BudgetResult; projections: boolean }) => {
  const { budget } = props
  return (
    <tr class={`limit-row ${budget.status === 'not measured' ? 'none' : budget.status}`}>
      <th scope="row">
        <Sign status={budget.status} /> {budget.label}
      </th>
      <Num text={formatLimit(budget.warn, budget.unit)} />
      <Num text={formatLimit(budget.fail, budget.unit)} />
      <Num text={formatMeasured(budget)} strong inline />
      {props.projections ? (
        <td class="projected">
          {budget.projected === null ? null : (
            <>
              {formatRange(budget.projected.lowMs, budget.projected.highMs)}
              <small>{`${budget.projected.work}, ${formatCount(budget.projected.rowsInProduction)} rows`}</small>
            </>
          )}
        </td>
      ) : null}
      <td class="place" title={budget.worstAt ?? ''}>
        {fileName(budget.worstAt ?? '')}
      </td>
    </tr>
  )
}

export const Limits = (props: { view: View }) => {
  const { budgets } = props.view.report
  if (budgets.length === 0) return <Nothing>No limit was judged: nothing was measured.</Nothing>
  const projections = budgets.some((one) => one.projected !== null)
  return (
    <>
      <Table
        label="Limits"
        class="limits"
        numeric={[1, 2, 3]}
        head={[
          'limit',
          'warn above',
          'fail above',
          'measured here',
          ...(projections ? ['projected to production'] : []),
          'worst at',
        ]}
      >
        <tbody>
          {budgets.map((budget) => (
            <Limit budget={budget} projections={projections} />
          ))}
        </tbody>
      </Table>
      {budgets.map((one) => (one.projected === null ? null : <p class="note">{explainProjection(one.projected)}</p>))}
    </>
  )
}
