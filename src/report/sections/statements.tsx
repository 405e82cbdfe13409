/** The statements table, grouped by the transactions that they ran in. */
import type { MigrationRun, StatementRun, TransactionRun, Work } from '../../recording.js'
import { oneLine, shorten } from '../text.js'
import { Nothing, Num, Sign, Sql, Table } from '../ui.js'
import { formatBracket, formatBytes, formatCount, formatMs, plural } from '../../units.js'
import { fileName, type StatementView, type View } from '../view.js'

/** What a statement did besides taking locks, in short lines. */
export const workWords = (work: Work): string[] => [
  ...work.rewrites.map((one) => `rewrites ${one.relation}${one.rows === null ? '' : ` (${plural(one.rows, 'row')})`}`),
  ...work.indexBuilds.map((one) => `builds ${one.relation}${one.bytes === null ? '' : ` (${formatBytes(one.bytes)})`}`),
  ...work.scans.map(
    (one) => `scans ${one.relation}${one.passes > 1 ? ` ${one.passes} times` : ''} (${plural(one.rows, 'row')})`,
  ),
  ...work.rowsWritten.map((one) => {
    const parts = [
      ...(one.inserted > 0 ? [`${formatCount(one.inserted)} inserted`] : []),
      ...(one.updated > 0 ? [`${formatCount(one.updated)} updated`] : []),
      ...(one.deleted > 0 ? [`${formatCount(one.deleted)} deleted`] : []),
    ]
    return `${one.relation}: ${parts.join(', ')}`
  }),
  ...work.truncated.map((relation) => `truncates ${relation}`),
]

/** How a statement ended at rest and under traffic, in one or two words each. */
export const outcomeWords = (one: StatementView): { words: string; bad: boolean } => {
  const { tries } = one
  const ends = [
    { pass: 'quiet', run: one.quiet },
    { pass: 'timed', run: one.timed },
  ].flatMap(({ pass, run }) =>
    run === null
      ? []
      : [{ pass, end: run.outcome.ok ? 'ok' : `${run.outcome.error.sqlstate} ${run.outcome.error.condition}` }].map(
          (one) => (pass === 'timed' && tries > 1 ? { ...one, end: `${one.end} at try ${tries}` } : one),
        ),
  )
  const [first] = ends
  if (first === undefined) return { words: 'not run', bad: false }
  const bad = [one.quiet, one.timed].some((run) => run?.outcome.ok === false)
  if (ends.every((end) => end.end === first.end)) return { words: first.end, bad }
  return { words: ends.map((end) => `${end.pass}: ${end.end}`).join('; '), bad }
}

/** The last column, which has little room: a condition's name may go over several lines. */
const Breakable = (props: { text: string }) => (
  <>
    {props.text.split(/(?<=_)/).map((part) => (
      <>
        {part}
        {part.endsWith('_') ? <wbr /> : null}
      </>
    ))}
  </>
)

/** How long it took, and where the times are not stamps of its own message, what they are. */
const Took = (props: { run: StatementRun | null; strong?: boolean }) => {
  const { run } = props
  return (
    <td class={props.strong ? 'n strong' : 'n'}>
      {run === null ? <span class="null">not measured</span> : formatMs(run.endMs - run.startMs)}
      {run === null || run.boundary === 'client' ? null : <small>{BOUNDARIES[run.boundary].word}</small>}
    </td>
  )
}

const BOUNDARIES = {
  server: {
    word: 'marks',
    legend:
      '“marks”: one of several statements in a message; its times are the server’s own marks between them, as they arrived.',
  },
  message: {
    word: 'message',
    legend: '“message”: the time is that of the whole message that it was in; its own is not known.',
  },
} as const

/** Which statement it is; the first two cells of every row. */
const What = (props: { one: StatementView }) => {
  const { one } = props
  const { statement } = one
  return (
    <>
      <td class="n">{one.number}</td>
      <td class="what">
        <span class="place" title={`${statement.file}:${statement.line}`}>
          {`${fileName(statement.file)}:${statement.line}`}
        </span>
        {statement.exactLine ? null : <small>made by a program, at this line or near it</small>}
        <details>
          <summary>
            <code>{shorten(oneLine(statement.sql), 56)}</code>
          </summary>
          <Sql sql={statement.sql} label={`SQL of statement ${one.number}`} />
        </details>
      </td>
    </>
  )
}

/** Nothing was measured of what never ran: that is said once. */
const NotRun = (props: { one: StatementView }) => (
  <tr id={`s-${props.one.number}`}>
    <What one={props.one} />
    <td class="null" colSpan={HEAD.length - 2}>
      not run
    </td>
  </tr>
)

const Row = (props: { one: StatementView }) => {
  const { one } = props
  const { strongest, blocked } = one
  const span = one.spans.find((s) => s.mode === strongest?.mode && s.relation === strongest.relation) ?? one.spans[0]
  const work = one.quiet?.work ?? null
  const end = outcomeWords(one)
  return (
    <tr id={`s-${one.number}`}>
      <What one={one} />
      <Took run={one.quiet} />
      <Took run={one.timed} strong />
      <td class="lock">
        {strongest === null ? (
          one.quiet === null && one.timed === null ? (
            <span class="null">not measured</span>
          ) : (
            'none'
          )
        ) : (
          <>
            {strongest.mode}
            <small>{`${strongest.relation}${strongest.existedBefore ? '' : ' (new)'}`}</small>
          </>
        )}
      </td>
      <Num text={span === undefined && one.timed !== null ? '–' : formatBracket(span?.waitedMs ?? null)} />
      <Num text={span === undefined && one.timed !== null ? '–' : formatBracket(span?.heldMs ?? null)} strong />
      <Num text={one.timed === null ? 'not measured' : formatCount(blocked?.sessions ?? 0)} />
      <Num text={blocked === null ? (one.timed === null ? 'not measured' : '–') : formatBracket(blocked.longestMs)} />
      <td class="work">
        {work === null ? (
          <span class="null">not measured</span>
        ) : workWords(work).length === 0 ? (
          'catalog only'
        ) : (
          workWords(work).map((line) => <div>{line}</div>)
        )}
      </td>
      <Num text={formatBytes(work?.walBytes ?? null)} />
      <td class={end.bad ? 'outcome bad' : 'outcome'}>
        {end.bad ? <Sign status="fail" /> : null} <Breakable text={end.words} />
      </td>
    </tr>
  )
}

const transactionWords = (one: TransactionRun): string => {
  const last = one.end === 'committed' ? 'COMMIT' : 'ROLLBACK'
  const kind = { explicit: `BEGIN … ${last}`, message: 'one message', autocommit: 'autocommit' }[one.kind]
  return `Transaction ${one.ordinal} · ${kind} · ${formatMs(one.endMs - one.startMs)} · ${one.end}`
}

const HEAD = [
  '#',
  'statement',
  'at rest',
  'under traffic',
  'strongest lock',
  'waited',
  'held',
  'sessions blocked',
  'longest wait',
  'work, at rest',
  'WAL',
  'outcome',
]
/** What was to be run, when nothing ran. */
const Unrun = (props: { statements: readonly StatementView[] }) => (
  <>
    <Nothing>Not measured: no pass was finished. These were to be run:</Nothing>
    <Table label="Statements" class="short" head={['#', 'where', 'statement']} numeric={[0]}>
      <tbody>
        {props.statements.slice(0, MOST).map((one) => (
          <tr id={`s-${one.number}`}>
            <td class="n">{one.number}</td>
            <td class="place">{`${one.statement.file}:${one.statement.line}`}</td>
            <td>
              <code>{shorten(oneLine(one.statement.sql), 200)}</code>
            </td>
          </tr>
        ))}
      </tbody>
    </Table>
  </>
)

/** Enough for any migration that a person reads; a generated one of thousands is in report.json. */
const MOST = 400

export const Statements = (props: { view: View }) => {
  const { statements, timed, quiet } = props.view
  if (statements.length === 0) return <Nothing>No statement was read.</Nothing>
  const run: MigrationRun | null = (timed ?? quiet)?.migration ?? null
  if (run === null) return <Unrun statements={statements} />
  const groups: { transaction: TransactionRun | null; rows: StatementView[] }[] = []
  for (const one of statements.slice(0, MOST)) {
    const transaction = run.transactions.find((t) => t.statements.includes(one.statement.id)) ?? null
    const last = groups.at(-1)
    if (last !== undefined && last.transaction === transaction) last.rows.push(one)
    else groups.push({ transaction, rows: [one] })
  }
  return (
    <>
      <Table label="Statements" class="statements" head={HEAD} numeric={[0, 2, 3, 5, 6, 7, 8, 10]}>
        {groups.map((group) => (
          <tbody>
            <tr class="group">
              <th scope="rowgroup" colSpan={HEAD.length}>
                {group.transaction === null ? 'Not reached' : transactionWords(group.transaction)}
              </th>
            </tr>
            {group.rows.map((one) =>
              one.quiet === null && one.timed === null ? <NotRun one={one} /> : <Row one={one} />,
            )}
          </tbody>
        ))}
      </Table>
      {statements.length > MOST ? <p class="note">{`and ${statements.length - MOST} more in report.json`}</p> : null}
      <p class="note">
        Waited and held are those of the strongest lock, under traffic; a lock is held until its transaction ends.
      </p>
      {(['server', 'message'] as const).map((boundary) =>
        statements.some((one) => one.quiet?.boundary === boundary || one.timed?.boundary === boundary) ? (
          <p class="note">{BOUNDARIES[boundary].legend}</p>
        ) : null,
      )}
    </>
  )
}
