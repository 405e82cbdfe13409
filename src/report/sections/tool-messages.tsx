/** The conversation of a migration tool with the server, its transactions drawn as brackets beside the rows. */
import type { ToolMessage, ToolRun } from '../../recording.js'
import { formatMs } from '../../units.js'
import { oneLine, shorten } from '../text.js'
import { Nothing, Sign } from '../ui.js'
import { placeOf, type View } from '../view.js'

/** A piece of a transaction's bracket beside one row. */
export interface Piece {
  session: number
  shape: 'start' | 'mid' | 'end' | 'whole'
  /** The transaction has failed: the server refuses everything until it is rolled back. */
  broken: boolean
}

const open = (state: ToolMessage['after'] | undefined): boolean =>
  state === 'in a transaction' || state === 'in a failed transaction'

/**
 * For each message, the brackets that pass beside it, by the state in which the server left each session: nothing is
 * read from the text. A message of several statements outside a transaction is one of its own (the server's rule).
 */
export const transactionPieces = (messages: readonly ToolMessage[]): Piece[][] => {
  const states = new Map<number, ToolMessage['after']>()
  return messages.map((message) => {
    const pieces: Piece[] = []
    for (const [session, state] of states)
      if (session !== message.session && open(state))
        pieces.push({ session, shape: 'mid', broken: state === 'in a failed transaction' })
    const before = states.get(message.session)
    states.set(message.session, message.after)
    const broken =
      !message.outcome.ok || message.after === 'in a failed transaction' || before === 'in a failed transaction'
    const own = (shape: Piece['shape']): void => void pieces.push({ session: message.session, shape, broken })
    if (open(before)) own(open(message.after) ? 'mid' : 'end')
    else if (open(message.after)) own('start')
    else if (message.statements.length > 1 || message.tags.length > 1) own('whole')
    return pieces
  })
}

const AFTER: Readonly<Record<ToolMessage['after'], string>> = {
  idle: 'idle',
  'in a transaction': 'in a transaction',
  'in a failed transaction': 'in a failed transaction',
  closed: 'session closed',
}

const SHAPES: Readonly<Record<Piece['shape'], string>> = {
  start: 'transaction begins',
  mid: 'in a transaction',
  end: 'transaction ends',
  whole: 'a transaction of its own',
}

const ROLES: Readonly<Record<ToolMessage['role'], string>> = {
  migration: 'migration',
  journal: 'journal',
  transaction: 'transaction',
  lock: 'lock',
  other: 'other',
}

const LONG = 120

const Text = (props: { message: ToolMessage; view: View }) => {
  const { message, view } = props
  const [first] = message.statements
  const own = first === undefined ? undefined : view.byId.get(first)?.statement
  // The body of a DO is one literal, which leaves nothing to read; what stands in a file of the project may be shown.
  const line = oneLine(own?.kind === 'DoStmt' && message.statements.length === 1 ? own.sql : message.text)
  const others = message.statements.length - 1
  const number = first === undefined ? undefined : view.byId.get(first)?.number
  return (
    <>
      {first === undefined ? null : (
        <small class="place">
          {number === undefined ? placeOf(view, first) : <a href={`#s-${number}`}>{placeOf(view, first)}</a>}
          {others > 0 ? ` and ${others} more in this message` : ''}
        </small>
      )}
      <code title={line.length > LONG ? shorten(line, 600) : undefined}>{shorten(line, LONG) || '(empty)'}</code>
    </>
  )
}

const Row = (props: {
  message: ToolMessage
  pieces: readonly Piece[]
  lanes: readonly number[]
  /** Whether there are several sessions to tell apart. */
  sessions: boolean
  view: View
  fromMs: number
}) => {
  const { message } = props
  const end = message.readyMs ?? message.completeMs
  const mine = props.pieces.find((one) => one.session === message.session)
  return (
    <tr class={message.role === 'migration' ? undefined : 'own'}>
      <td class="bars">
        {props.pieces.map((one) => (
          <i
            class={one.broken ? `${one.shape} broken` : one.shape}
            style={`left:${4 + 14 * Math.max(0, props.lanes.indexOf(one.session))}px`}
            aria-hidden="true"
          />
        ))}
        {mine === undefined ? null : <span class="hidden">{SHAPES[mine.shape]}</span>}
      </td>
      <td>
        <Text message={message} view={props.view} />
      </td>
      <td>
        {ROLES[message.role]}
        {message.protocol === 'simple' ? null : <small>{message.protocol}</small>}
      </td>
      <td class={message.outcome.ok ? undefined : 'bad'}>
        {message.outcome.ok ? (
          message.tags.join(', ') || '–'
        ) : (
          <>
            <Sign status="fail" /> {`${message.outcome.error.sqlstate} ${message.outcome.error.condition}`}
          </>
        )}
        <span class="muted">{` · ${AFTER[message.after]}`}</span>
      </td>
      <td class="n">{formatMs(message.sentMs - props.fromMs)}</td>
      <td class="n">{end === null ? '–' : formatMs(end - message.sentMs)}</td>
      {props.sessions ? <td class="n">{message.session}</td> : null}
    </tr>
  )
}

const HEAD: { text: string; class: string }[] = [
  { text: 'message', class: 'c-text' },
  { text: 'what for', class: 'c-role' },
  { text: 'answer · the session then', class: 'c-end' },
  { text: 'sent', class: 'n c-at' },
  { text: 'took', class: 'n c-took' },
]
const SESSION = { text: 'session', class: 'n c-session' }

/** Rows at both ends that are always shown; what lies between is folded away when it is longer than a screen. */
const ENDS = 24
/** Rows in the page; the others are in report.json. */
const MOST = 600

export const Messages = (props: { view: View; run: ToolRun; fromMs: number }) => {
  const { run } = props
  if (run.messages.length === 0) return <Nothing>It sent nothing.</Nothing>
  const pieces = transactionPieces(run.messages)
  const lanes = [...new Set(pieces.flat().map((one) => one.session))].sort((a, b) => a - b)
  const sessions = new Set(run.messages.map((one) => one.session)).size > 1
  const rows = run.messages.map((message, i) => ({ message, pieces: pieces[i] ?? [] }))
  const table = (part: typeof rows, label: string) => (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table class="messages" style={`--lanes:${Math.max(1, lanes.length)}`}>
        <thead>
          <tr>
            <th scope="col" class="bars">
              <span class="hidden">transaction</span>
            </th>
            {[...HEAD, ...(sessions ? [SESSION] : [])].map((cell) => (
              <th scope="col" class={cell.class}>
                {cell.text}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {part.map((one) => (
            <Row {...one} lanes={lanes} sessions={sessions} view={props.view} fromMs={props.fromMs} />
          ))}
        </tbody>
      </table>
    </div>
  )
  const folded = rows.length > 2 * ENDS + 6 ? rows.slice(ENDS, -ENDS) : []
  const listed = folded.slice(0, MOST - 2 * ENDS)
  const unlisted = folded.length - listed.length + run.messagesNotListed
  return (
    <>
      {folded.length === 0 ? (
        table(rows, 'Messages of the tool')
      ) : (
        <>
          {table(rows.slice(0, ENDS), 'The first messages of the tool')}
          <details class="more">
            <summary>{`${folded.length} more messages`}</summary>
            {table(listed, 'Messages in between')}
          </details>
          {table(rows.slice(-ENDS), 'The last messages listed')}
        </>
      )}
      {unlisted > 0 ? <p class="note">{`and ${unlisted} more that are counted but not listed here`}</p> : null}
      <p class="note">
        A bracket at the left is a transaction, from the message that opened it to the one that ended it; dotted: it had
        failed, or was rolled back by an error.
        {lanes.length > 1 ? ` One column a session: ${lanes.join(', ')}.` : ''}
      </p>
    </>
  )
}
