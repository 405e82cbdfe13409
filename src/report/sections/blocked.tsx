/** Who waited behind which statement, and the queue at its longest as a tree. */
import type { BlockedGroup } from '../../recording.js'
import { Nothing, Num, Table } from '../ui.js'
import { formatBracket, formatCount, formatMs, plural } from '../../units.js'
import { placeOf, type View } from '../view.js'

type Session = BlockedGroup['worst']['sessions'][number]

export interface Node {
  session: Session
  /** Names of further sessions that it also waits for. */
  also: string[]
  behind: Node[]
}

/** The queue as trees: everybody stands below the first session that blocks it. A cycle (deadlock) is cut open once. */
export const queueTrees = (sessions: readonly Session[]): Node[] => {
  const nodes = sessions.map((session): Node => ({ session, also: [], behind: [] }))
  const placed = new Set<number>()
  const place = (index: number): Node[] => {
    const node = nodes[index]
    if (node === undefined || placed.has(index)) return []
    placed.add(index)
    node.also = node.session.blockedBy.slice(1).flatMap((i) => sessions[i]?.name ?? [])
    sessions.forEach((other, i) => {
      if (other.blockedBy[0] === index) node.behind.push(...place(i))
    })
    return [node]
  }
  const roots = sessions.flatMap((session, i) => (session.blockedBy.length === 0 ? place(i) : []))
  return [...roots, ...sessions.flatMap((_, i) => place(i))]
}

const Tree = (props: { nodes: Node[] }) => (
  <ul>
    {props.nodes.map((node) => {
      const { session } = node
      const what = session.relation ?? session.lockType
      return (
        <li>
          <span class="who">{session.name}</span>{' '}
          <span class="muted">
            {session.waitingMs === null
              ? `${session.mode} on ${what}`
              : `waits ${formatMs(session.waitingMs)} for ${session.mode} on ${what}`}
            {node.also.length > 0 ? `, also behind ${node.also.join(', ')}` : ''}
          </span>
          {node.behind.length > 0 ? <Tree nodes={node.behind} /> : null}
        </li>
      )
    })}
  </ul>
)

const Group = (props: { group: BlockedGroup; view: View }) => {
  const { group, view } = props
  const number = view.byId.get(group.statement)?.number
  return (
    <article>
      <h3>{`Behind ${number === undefined ? '' : `statement ${number}, `}${placeOf(view, group.statement)}`}</h3>
      <p>
        {`${plural(group.sessions, 'session')} waited ${plural(group.waits, 'time')}: the longest ${formatBracket(group.longestMs)}, all together ${formatBracket(group.totalMs)}.`}
      </p>
      <Table
        label="Waits by operation"
        head={['operation', 'wanted', 'sessions', 'waits', 'longest', 'all together']}
        numeric={[2, 3, 4, 5]}
      >
        <tbody>
          {group.by.map((by) => (
            <tr>
              <th scope="row">
                <span class={`release ${by.release}`}>{by.release}</span> {by.operation}
              </th>
              <td>{by.relation === null ? by.mode : `${by.mode} on ${by.relation}`}</td>
              <Num text={formatCount(by.sessions)} />
              <Num text={formatCount(by.waits)} />
              <Num text={formatBracket(by.longestMs)} strong />
              <Num text={formatBracket(by.totalMs)} />
            </tr>
          ))}
        </tbody>
      </Table>
      {group.worst.sessions.length === 0 ? null : (
        <div class="tree">
          <p>{`The queue at its longest, at ${formatMs(group.worst.atMs)}:`}</p>
          <Tree nodes={queueTrees(group.worst.sessions)} />
        </div>
      )}
    </article>
  )
}

export const Blocked = (props: { view: View }) => {
  const { timed } = props.view
  if (timed === null) return <Nothing>Not measured: the timed pass is missing.</Nothing>
  const none = timed.blocked.length === 0 && timed.migrationWaits.length === 0 && timed.deadlocks.length === 0
  if (none)
    return (
      <Nothing>{`No session was seen waiting behind the migration (looked every ${formatMs(timed.sampler.periodMs)}).`}</Nothing>
    )
  return (
    <>
      {timed.blocked.map((group) => (
        <Group group={group} view={props.view} />
      ))}
      {timed.migrationWaits.length === 0 ? null : (
        <article>
          <h3>What the migration itself waited for</h3>
          <Table label="Waits of the migration" head={['statement', 'lock', 'waited', 'for']} numeric={[2]}>
            <tbody>
              {timed.migrationWaits.map((wait) => (
                <tr>
                  <th scope="row" class="place">
                    {placeOf(props.view, wait.statement)}
                  </th>
                  <td>
                    {wait.relation === null ? `${wait.mode}, ${wait.lockType}` : `${wait.mode} on ${wait.relation}`}
                  </td>
                  <Num text={formatBracket(wait.waitedMs)} strong />
                  <td>{wait.waitedFor.join(', ')}</td>
                </tr>
              ))}
            </tbody>
          </Table>
        </article>
      )}
      {timed.deadlocks.length === 0 ? null : (
        <article>
          <h3>Deadlocks</h3>
          <ul>
            {timed.deadlocks.map((one) => (
              <li>{`At ${formatMs(one.atMs)} ${one.victim} got 40P01, in a cycle of ${one.participants.join(', ')}.`}</li>
            ))}
          </ul>
        </article>
      )}
    </>
  )
}
