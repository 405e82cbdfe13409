/** How the tool ran the migration: what was started, how it ended, what it sent, what it hides. */
import type { ToolNote, ToolRun } from '../../recording.js'
import { formatMs, plural } from '../../units.js'
import { tight } from '../text.js'
import {
  exitWords,
  journalSentences,
  NOTE_WORDS,
  messagesInAll,
  notePlace,
  noteStatus,
  toldWords,
  toolWords,
} from '../tool-words.js'
import { Nothing, Sign, Sql } from '../ui.js'
import type { View } from '../view.js'
import { Messages } from './tool-messages.js'

const MOST_NOTES = 40
const MOST_SESSIONS = 12

const Note = (props: { note: ToolNote }) => {
  const { note } = props
  const place = notePlace(note)
  return (
    <li>
      <Sign status={noteStatus(note)} /> <strong>{NOTE_WORDS[note.kind]}</strong>
      {place === null ? null : (
        <>
          {' '}
          <span class="place">{place}</span>
        </>
      )}
      {`: ${tight(note.message)}`}
      {note.advice === null ? null : <small>{`Instead: ${tight(note.advice)}`}</small>}
    </li>
  )
}

const Notes = (props: { notes: readonly ToolNote[] }) =>
  props.notes.length === 0 ? null : (
    <>
      <h3>What it does not say</h3>
      <ul class="tool-notes">
        {props.notes.slice(0, MOST_NOTES).map((note) => (
          <Note note={note} />
        ))}
      </ul>
      {props.notes.length > MOST_NOTES ? (
        <p class="note">{`and ${props.notes.length - MOST_NOTES} more in report.json`}</p>
      ) : null}
    </>
  )

const Ended = (props: { run: ToolRun; where: string }) => {
  const { run } = props
  const bad = run.exitCode !== 0
  const told = toldWords(run)
  return (
    <div>
      <span class={bad ? 'exit bad' : 'exit'}>
        {bad ? <Sign status="fail" /> : null} {exitWords(run)}
      </span>{' '}
      {props.where}
      {told === null ? '' : `; ${told}`}
      {run.lastError === null
        ? ''
        : `; the last error of the server: ${run.lastError.sqlstate} ${run.lastError.message}`}
    </div>
  )
}

/** A program that ends without saying goodbye, as many do that simply exit, does no harm. */
const UNTIDY = /^the client closed the connection/

/** `41201 (drizzle), 4.1 ms to 80 ms`: who spoke to the server in this run. */
const Sessions = (props: { run: ToolRun; from: number }) => (
  <>
    {props.run.sessions.slice(0, MOST_SESSIONS).map((one) => (
      <div>
        {`session ${one.ordinal}: backend ${one.pid}, ${one.applicationName === '' ? 'no application_name' : `application_name ${one.applicationName}`}, from ${formatMs(one.startMs - props.from)} to ${one.endMs === null ? 'the end' : formatMs(one.endMs - props.from)}`}
        {one.trouble === null ? null : (
          <span class={UNTIDY.test(one.trouble) ? 'muted' : 'bad'}>{`; ${one.trouble}`}</span>
        )}
      </div>
    ))}
    {props.run.sessions.length > MOST_SESSIONS ? (
      <div>{`and ${props.run.sessions.length - MOST_SESSIONS} more`}</div>
    ) : null}
    {props.run.sessions.length === 0 ? <div>none reached the database</div> : null}
  </>
)

export const ToolSection = (props: { view: View }) => {
  const { view } = props
  const { tool } = view.report.recording
  if (tool === null) return <Nothing>The files were run as plain SQL.</Nothing>
  const ran = [
    { where: 'at rest', migration: view.quiet?.migration ?? null },
    { where: 'under traffic', migration: view.timed?.migration ?? null },
  ].flatMap(({ where, migration }) =>
    migration === null || migration.tool === null ? [] : [{ where, migration, run: migration.tool }],
  )
  const shown = ran.at(-1)
  // The tool connects when it likes, which may be before the migration counts as begun.
  const fromMs = Math.min(
    shown?.migration.startMs ?? 0,
    ...(shown?.run.sessions.map((one) => one.startMs) ?? []),
    ...(shown?.run.messages.map((one) => one.sentMs) ?? []),
  )
  // What is the same at rest and under traffic is said once.
  const differ = (say: (run: ToolRun) => unknown): typeof ran =>
    new Set(ran.map((one) => JSON.stringify(say(one.run)))).size > 1 ? ran : ran.slice(0, 1)
  const journals = differ(journalSentences)
  const ends = differ((run) => [exitWords(run), run.toldError, run.lastError])
  const everywhere = ends.length < ran.length ? ran.map((one) => one.where).join(' and ') : null
  return (
    <>
      <dl>
        <div>
          <dt>tool</dt>
          <dd>{toolWords(tool)}</dd>
        </div>
        {tool.how === 'replay' ? (
          <div>
            <dt>replayed</dt>
            <dd>{tool.why ?? 'Its messages were sent by the harness.'}</dd>
          </div>
        ) : null}
        <div>
          <dt>pending</dt>
          <dd>{tool.pendingBy}</dd>
        </div>
        <div>
          <dt>ended</dt>
          <dd>
            {ran.length === 0 ? (
              <span class="null">not measured</span>
            ) : (
              ends.map((one) => <Ended run={one.run} where={everywhere ?? one.where} />)
            )}
          </dd>
        </div>
        {shown === undefined ? null : (
          <div>
            <dt>sessions</dt>
            <dd>
              <Sessions run={shown.run} from={fromMs} />
            </dd>
          </div>
        )}
        <div>
          <dt>journal</dt>
          <dd>
            {tool.journal === null ? null : <div>{tool.journal}</div>}
            {journals.map((one) => (
              <div>
                {journals.length > 1 ? `${one.where}: ` : ''}
                {journalSentences(one.run).join(' ')}
              </div>
            ))}
          </dd>
        </div>
      </dl>
      {tool.how === 'program' ? <Sql sql={tool.command} copy label="Command as it was started" /> : null}
      <Notes notes={tool.notes} />
      {shown === undefined ? (
        <Nothing>Not measured: no pass was finished.</Nothing>
      ) : (
        <>
          <h3>{`What it sent ${shown.where}`}</h3>
          <p class="note">
            {`${messagesInAll(shown.run)} in ${plural(shown.run.sessions.length, 'session')}. Times count from the start of the tool; every literal is replaced by a placeholder.`}
          </p>
          <Messages view={view} run={shown.run} fromMs={fromMs} />
        </>
      )}
    </>
  )
}
