import type { CompatCell, Outcome } from '../../recording.js'
import { compatRows, compatSentences } from '../compat-words.js'
import { Nothing, Sign, Table } from '../ui.js'
import type { View } from '../view.js'
import { plural } from '../../units.js'

const End = (props: { outcome: Outcome; kind: string }) =>
  props.outcome.ok ? (
    <span class="yes" title={`${props.kind}: works`}>
      ✓<span class="hidden">{` ${props.kind} works`}</span>
    </span>
  ) : (
    <span class="no" title={`${props.kind}: ${props.outcome.error.message}`}>
      {props.outcome.error.sqlstate}
    </span>
  )

const Cell = (props: { cell: CompatCell | null; first: boolean }) => {
  const { cell } = props
  if (cell === null) return <td class="null">not measured</td>
  // Only what breaks on the way counts against the migration; a failure before it is information.
  const broken = !props.first && !cell.fresh.ok
  return (
    <td class={broken ? 'cell broken' : 'cell'}>
      <End outcome={cell.fresh} kind="sent anew" />
      {cell.prepared === null ? null : (
        <small>
          prepared <End outcome={cell.prepared} kind="prepared before" />
        </small>
      )}
    </td>
  )
}

/** From so many operations on, those that always work are only counted. */
const MANY = 60
const breaksSomewhere = ({ cells }: { cells: readonly (CompatCell | null)[] }): boolean =>
  cells.some((cell) => cell === null || !cell.fresh.ok || cell.prepared?.ok === false)

/** Every operation of both releases on every committed state of the schema. */
export const Compat = (props: { view: View }) => {
  const { quiet } = props.view
  if (quiet === null) return <Nothing>Not measured: the quiet pass is missing.</Nothing>
  if (quiet.compat.length === 0) return <Nothing>Not measured: no operation was given for either release.</Nothing>
  const all = compatRows(quiet)
  const rows = all.length <= MANY ? all : all.filter(breaksSomewhere)
  const sentences = compatSentences(quiet)
  return (
    <>
      <Table
        label="Compatibility matrix"
        class="compat"
        head={['operation', ...quiet.states.map((state) => state.label)]}
      >
        {(['old', 'new'] as const)
          .filter((release) => rows.some((row) => row.release === release))
          .map((release) => (
            <tbody>
              <tr class="group">
                <th scope="rowgroup" colSpan={quiet.states.length + 1}>{`${release} release`}</th>
              </tr>
              {rows
                .filter((row) => row.release === release)
                .map((row) => (
                  <tr>
                    <th scope="row">{row.operation}</th>
                    {row.cells.map((cell, i) => (
                      <Cell
                        cell={cell}
                        first={
                          quiet.states[i]?.kind === 'before' || (release === 'new' && quiet.states[i]?.kind !== 'after')
                        }
                      />
                    ))}
                  </tr>
                ))}
            </tbody>
          ))}
      </Table>
      {rows.length < all.length ? (
        <p>{`${plural(all.length - rows.length, 'other operation')} work in every state, sent anew and prepared.`}</p>
      ) : null}
      {sentences.length === 0 ? (
        <p>Every operation of both releases works in every state.</p>
      ) : (
        <ul class="sentences">
          {sentences.map((sentence) => (
            <li>
              <Sign status={sentence.bad ? 'fail' : 'info'} /> {sentence.text}
            </li>
          ))}
        </ul>
      )}
      <p class="note">
        A cell shows ✓ or the SQLSTATE of the operation sent anew, and below it of one that was prepared before the
        migration.
      </p>
    </>
  )
}
